package deployment

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	known "github.com/cobropay/cobro/internal/settings"
)

const root = "../.."

// once are the services that end before others begin.
var once = []string{"migrate", "temporal-namespace", "temporal-schema"}

// settings are what .env holds in this test.
var settings = []string{"COBRO_USER=65532:65532", "COBRO_ATHM_PUBLIC_TOKEN=public-canary"}

func load(t *testing.T, options ...cli.ProjectOptionsFn) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		append([]cli.ProjectOptionsFn{cli.WithEnv(settings), cli.WithName("cobro")}, options...)...)
	require.NoError(t, err)
	project, err := o.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

func TestComposeHasEveryService(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"api", "athmovil-sim", "migrate", "postgresql", "temporal", "temporal-namespace", "temporal-schema", "temporal-ui", "worker",
	}, load(t).ServiceNames())
}

// TestComposeRequiresSettings requires that the error for a missing setting says
// what to do.
func TestComposeRequiresSettings(t *testing.T) {
	t.Parallel()
	for i := range settings {
		o, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(slices.Delete(slices.Clone(settings), i, i+1)))
		require.NoError(t, err)
		_, err = o.LoadProject(t.Context())
		require.ErrorContains(t, err, "deploy/secrets")
	}
}

// TestImagesArePinned requires that the file always starts the same programs, in
// the versions that the tests of this repository run.
func TestImagesArePinned(t *testing.T) {
	t.Parallel()
	exact := regexp.MustCompile(`^[a-z/-]+:[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z]+)?$`)
	project := load(t)
	for name, service := range project.Services {
		if service.Build == nil {
			require.Regexp(t, exact, service.Image, name)
		} else {
			require.Equal(t, "never", orNever(service.PullPolicy), "%s is built, and somebody else may own its name", name)
			require.Contains(t, targets(t), service.Build.Target, name)
		}
	}
	require.Equal(t, "temporalio/server:"+required(t, "go.temporal.io/server"), project.Services["temporal"].Image)
	require.Equal(t, "temporalio/admin-tools:"+required(t, "go.temporal.io/server"), project.Services["temporal-schema"].Image)
	require.Equal(t, "temporalio/ui:"+required(t, "github.com/temporalio/ui-server/v2"), project.Services["temporal-ui"].Image)
	for line := range strings.Lines(read(t, "Dockerfile")) {
		image, from := strings.CutPrefix(line, "FROM ")
		if image, _, _ = strings.Cut(image, " AS "); from && image != "scratch" {
			require.Equal(t, "golang:"+goVersion(t)+"-trixie", image)
		}
	}
}

// orNever returns the policy for an image that is built: compose builds a missing
// one, and pulls only where the policy says so.
func orNever(policy string) string {
	if policy == "" || policy == types.PullPolicyBuild {
		return "never"
	}
	return policy
}

func targets(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile(`(?m)^FROM scratch AS (\S+)$`).FindAllStringSubmatch(read(t, "Dockerfile"), -1) {
		found = append(found, match[1])
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(data)
}

// required returns the version of a dependency of the module dev.
func required(t *testing.T, module string) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^\t` + regexp.QuoteMeta(module) + ` v(\S+)`).FindStringSubmatch(read(t, "dev/go.mod"))
	require.NotNil(t, match, module)
	return match[1]
}

func goVersion(t *testing.T) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "dev/go.mod"))
	require.NotNil(t, match)
	return match[1]
}

func TestServicesRunWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	for name, service := range load(t).Services {
		require.True(t, service.ReadOnly, "%s can write into its root", name)
		require.NotContains(t, []string{"", "root", "0", "0:0"}, service.User, "%s runs as root", name)
		require.Equal(t, []string{"ALL"}, service.CapDrop, name)
		require.Contains(t, service.SecurityOpt, "no-new-privileges:true", name)
		require.False(t, service.Privileged, name)
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s publishes %s to the world", name, port.Published)
		}
		for _, volume := range service.Volumes {
			require.Equal(t, types.VolumeTypeVolume, volume.Type, "%s: what is kept is in a volume with a name", name)
		}
	}
}

func TestServicesWaitForHealthyDependencies(t *testing.T) {
	t.Parallel()
	project := load(t)
	for name, service := range project.Services {
		if slices.Contains(once, name) {
			require.Equal(t, "on-failure:5", service.Restart, name)
			require.True(t, service.HealthCheck == nil || service.HealthCheck.Disable, "%s ends, and has no health", name)
		} else {
			require.Equal(t, "unless-stopped", service.Restart, name)
			require.NotNil(t, service.HealthCheck, "%s has no health check", name)
			require.NotEmpty(t, service.HealthCheck.Test, name)
			require.NotNil(t, service.HealthCheck.Interval, name)
			require.NotNil(t, service.HealthCheck.StartPeriod, name)
		}
		for needed, dependency := range service.DependsOn {
			want := types.ServiceConditionHealthy
			if slices.Contains(once, needed) {
				want = types.ServiceConditionCompletedSuccessfully
			}
			require.Equal(t, want, dependency.Condition, "%s needs %s", name, needed)
		}
	}
	for name, needed := range map[string][]string{
		"temporal-schema": {"postgresql"}, "temporal": {"temporal-schema"}, "temporal-namespace": {"temporal"}, "migrate": {"postgresql"},
		"api": {"migrate", "temporal-namespace"}, "worker": {"migrate", "temporal-namespace"},
	} {
		require.ElementsMatch(t, needed, project.Services[name].GetDependencies(), name)
	}
}

// TestStopGracePeriodExceedsStopTimeout compares the time that each program
// takes to stop with the time that compose gives it.
func TestStopGracePeriodExceedsStopTimeout(t *testing.T) {
	t.Parallel()
	const afterwards = 5 * time.Second // for the last spans, and the connections
	project := load(t)
	for _, name := range []string{"api", "worker"} {
		service := project.Services[name]
		takes := stopTimeout(t, name)
		if set := service.Environment["COBRO_STOP_TIMEOUT"]; set != nil {
			var err error
			takes, err = time.ParseDuration(*set)
			require.NoError(t, err, name)
		}
		require.NotNil(t, service.StopGracePeriod, "%s has Docker's 10 seconds", name)
		require.Greater(t, time.Duration(*service.StopGracePeriod), takes+afterwards, name)
	}
}

// stopTimeout is a program's default of COBRO_STOP_TIMEOUT.
func stopTimeout(t *testing.T, program string) time.Duration {
	t.Helper()
	of := map[string]known.Program{"api": known.API, "worker": known.Worker}[program]
	takes, err := time.ParseDuration(known.Vars(of)["COBRO_STOP_TIMEOUT_default"])
	require.NoError(t, err)
	return takes
}

// secretName matches a variable that has a secret.
var secretName = regexp.MustCompile(`(KEY|SECRET|TOKEN|PASSWORD|PWD|STORE|WEBHOOK_URL)$`)

// TestComposeFileHasNoSecrets reads the file before interpolation: a secret is in a
// file that git ignores, or in a variable without which nothing starts.
func TestComposeFileHasNoSecrets(t *testing.T) {
	t.Parallel()
	project := load(t, cli.WithInterpolation(false))
	ignored := read(t, ".gitignore")
	for name, service := range project.Services {
		for variable, value := range service.Environment {
			if secretName.MatchString(variable) && value != nil {
				require.Regexp(t, `^\$\{`+variable+`:\?[^}]+\}$`, *value, "%s: %s", name, variable)
			}
		}
		for _, secret := range service.Secrets {
			require.Contains(t, project.Secrets, secret.Source, name)
		}
	}
	require.NotRegexp(t, `[0-9a-f]{16}`, read(t, "docker-compose.yml"), "this looks like a token")
	for name, secret := range project.Secrets {
		require.Equal(t, "secrets", filepath.Base(filepath.Dir(secret.File)), name)
	}
	require.Contains(t, ignored, "\n/secrets/\n")
	require.Contains(t, ignored, "\n/.env\n")
	require.Contains(t, ignored, "\nkeys.json\n", "a key ring, as the pages have it made")
	for _, name := range []string{"secrets", "**/keys.json"} {
		require.Contains(t, read(t, ".dockerignore"), "\n"+name+"\n", "they would be in a layer")
	}
}

// TestSecretsScriptIsIdempotent runs the script twice: the second run changes
// nothing.
func TestSecretsScriptIsIdempotent(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	made := func() map[string]string {
		makeSecrets(t, folder)
		found := map[string]string{}
		for name, secret := range load(t).Secrets {
			path := filepath.Join(folder, "secrets", filepath.Base(secret.File))
			data, err := os.ReadFile(path)
			require.NoError(t, err, name)
			require.NotEmpty(t, strings.TrimSpace(string(data)), name)
			info, err := os.Stat(path)
			require.NoError(t, err)
			want := os.FileMode(0o600)
			if strings.HasSuffix(name, "_password") {
				want = 0o444 // read by users of other images, in a folder that only its owner can enter
			}
			require.Equal(t, want, info.Mode().Perm(), name)
			found[name] = string(data)
		}
		environment, err := os.ReadFile(filepath.Join(folder, ".env"))
		require.NoError(t, err)
		found[".env"] = string(environment)
		return found
	}
	first := made()
	require.NoError(t, os.Chmod(filepath.Join(folder, "secrets"), 0o755)) // as mkdir creates it
	require.Equal(t, first, made())
	info, err := os.Stat(filepath.Join(folder, "secrets"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.Contains(t, first["store"], strings.TrimSpace(first["cobro_password"]))
	require.NotEqual(t, first["cobro_password"], first["temporal_password"])
	for _, setting := range settings {
		name, _, _ := strings.Cut(setting, "=")
		require.Contains(t, first[".env"], name+"=")
	}
}

// TestDocsRecreateContainersAfterKeyChange requires that the pages say to recreate
// the containers after a change of the keys: a mounted file does not change.
func TestDocsRecreateContainersAfterKeyChange(t *testing.T) {
	t.Parallel()
	var have []string
	for name, service := range load(t).Services {
		for _, secret := range service.Secrets {
			if secret.Source == "keys.json" {
				have = append(have, name)
			}
		}
	}
	slices.Sort(have)
	command := "docker compose up --detach --force-recreate " + strings.Join(have, " ")
	for _, file := range []string{"docker-compose.yml", "docs/operations.md"} {
		require.Contains(t, read(t, file), command, file)
	}
}

// makeSecrets runs deploy/secrets as if folder were the repository. The program
// that is already built creates the key ring.
func makeSecrets(t *testing.T, folder string) {
	t.Helper()
	for _, one := range []string{"deploy", "secrets"} {
		require.NoError(t, os.MkdirAll(filepath.Join(folder, one), 0o700))
	}
	ring := filepath.Join(folder, "secrets", "keys.json")
	if _, err := os.Stat(ring); err != nil {
		out, err := exec.CommandContext(t.Context(), filepath.Join(build(t), "cobro"), "keys", "--out", ring).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	script := filepath.Join(folder, "deploy", "secrets")
	require.NoError(t, os.WriteFile(script, []byte(read(t, "deploy/secrets")), 0o700)) // it is run
	out, err := exec.CommandContext(t.Context(), script).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// run runs a program of ours with nothing but these settings.
func run(t *testing.T, env []string, program string, args ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(build(t), program), args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit, "%s %s", program, args)
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

// environment is a service's, with its secrets in a folder of this machine.
func environment(service types.ServiceConfig, folder string) []string {
	var env []string
	for variable, value := range service.Environment {
		env = append(env, variable+"="+strings.Replace(*value, "/run/secrets/", filepath.Join(folder, "secrets")+"/", 1))
	}
	return env
}

// TestComposeSettingsPassConfigCheck requires that each service has every setting that
// it needs, in the right form, and nothing that is misspelled.
func TestComposeSettingsPassConfigCheck(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	makeSecrets(t, folder)
	project := load(t)
	for _, name := range []string{"api", "worker"} {
		code, said := run(t, environment(project.Services[name], folder), "cobro", "config", "check", "--for", name)
		require.Zero(t, code, "%s: %s", name, said)
		require.NotContains(t, said, "nothing reads it", name)
	}
}

// TestComposeCommandsParse runs each command and each health check of ours with its
// settings: without a database and Temporal it fails, but not at its command line.
func TestComposeCommandsParse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	makeSecrets(t, folder)
	// The last value counts: no start waits, and no port is taken.
	overrides := []string{"COBRO_START_TIMEOUT=1s", "COBRO_LISTEN=127.0.0.1:0", "COBRO_OPS_LISTEN=127.0.0.1:0", "TEMPORAL_ADDRESS=127.0.0.1:1"}
	for name, service := range load(t).Services {
		if service.Build == nil {
			continue
		}
		args := slices.Clone(service.Command)
		if service.Build.Target == "athmovil-sim" {
			args[slices.Index(args, "--journal")+1] = filepath.Join(folder, "no", "such", "folder") // it would go on
		}
		code, said := run(t, append(environment(service, folder), overrides...), service.Build.Target, args...)
		require.Equal(t, 1, code, "%s: %s", name, said)
		if check := service.HealthCheck; !check.Disable {
			require.Equal(t, []string{"CMD", "/cobro"}, []string(check.Test[:2]), "%s: there is no shell in its image", name)
			code, said := run(t, nil, "cobro", check.Test[2:]...)
			require.NotEqual(t, 2, code, "%s: %s", name, said)
		}
	}
}

// built is the folder of the programs, built as the Dockerfile does.
var built struct {
	folder string
	err    error
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(withPrograms(m.Run))
}

func withPrograms(tests func() int) int {
	if built.folder, built.err = os.MkdirTemp("", "cobro-deployment-"); built.err == nil {
		defer func() { _ = os.RemoveAll(built.folder) }() // leftovers of a test
		built.err = buildPrograms(built.folder)
	}
	return tests()
}

// How the Dockerfile builds.
const (
	buildFlags    = "-ldflags=-s"
	buildPackages = "./cmd/cobro ./cmd/athmovil-sim"
)

func buildPrograms(folder string) error {
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(dockerfile), "\nRUN go build "+buildFlags+" -o /out/ "+buildPackages+"\n") {
		return errors.New("the Dockerfile builds something else than this test: make them the same")
	}
	cmd := exec.Command("go", append([]string{"build", buildFlags, "-o", folder + "/"}, strings.Fields(buildPackages)...)...)
	cmd.Dir = root
	cmd.Env = os.Environ()
	for line := range strings.Lines(string(dockerfile)) {
		if variables, found := strings.CutPrefix(line, "ENV "); found {
			cmd.Env = append(cmd.Env, strings.Fields(variables)...)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// build returns the folder of the programs.
func build(t *testing.T) string {
	t.Helper()
	require.NoError(t, built.err)
	return built.folder
}
