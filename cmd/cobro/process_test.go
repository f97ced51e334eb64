package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// asProgram makes this test's binary the program itself.
const asProgram = "TEST_AS_COBRO"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// subprocess runs the program as a process, which has variables of its own, and
// returns the folder that it ran in.
func subprocess(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr, folder string) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &out, &errs
	cmd.Env = []string{asProgram + "=1", "HOME=" + cmd.Dir, "PATH=" + os.Getenv("PATH")}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = nil
		code = exit.ExitCode()
	}
	require.NoError(t, err)
	return code, out.String(), errs.String(), cmd.Dir
}

// Where an empty variable were a value, these addresses would be all of this
// machine's.
func TestAVariableSetToNothingIsNotSet(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"COBRO_LISTEN": "127.0.0.1:8080", "COBRO_OPS_LISTEN": "127.0.0.1:8081"} {
		if taken, err := net.Listen("tcp", address); err == nil { // or somebody else has it, which is as good
			t.Cleanup(func() { require.NoError(t, taken.Close()) })
		}
		env := with(settled(t), "COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0",
			"COBRO_START_TIMEOUT", "1s", "COBRO_STOP_TIMEOUT", "", "TEMPORAL_ADDRESS", "127.0.0.1:1", name, "")
		code, _, stderr, _ := subprocess(t, env, "api")
		require.Equal(t, 1, code, stderr)
		require.Contains(t, stderr, "listen tcp "+address, "the default")
	}
	env := newInstallation(t)
	code, _, stderr, _ := subprocess(t, with(env, "COBRO_LOG_FORMAT", "", "COBRO_LOG_LEVEL", ""), "migrate")
	require.Zero(t, code, stderr)

	for flag, address := range map[string]string{"--listen": "127.0.0.1:8080", "--ops-listen": "127.0.0.1:8081"} {
		env := with(settled(t), "COBRO_START_TIMEOUT", "1s", "TEMPORAL_ADDRESS", "127.0.0.1:1")
		other := map[string]string{"--listen": "--ops-listen", "--ops-listen": "--listen"}[flag]
		code, _, stderr, _ := subprocess(t, env, "api", flag, "", other, "127.0.0.1:0", "--stop-timeout=")
		require.Equal(t, 1, code, stderr)
		require.Contains(t, stderr, "listen tcp "+address, "%s: the default", flag)
	}
}

func TestTheHelpNamesTheVariables(t *testing.T) {
	t.Parallel()
	code, stdout, _, _ := subprocess(t, nil, "migrate", "--help")
	require.Zero(t, code)
	require.Contains(t, stdout, "($COBRO_STORE).")
}

// Those that tell what is wrong with the variables run whatever they are.
func TestConfigCheckRunsWithABrokenLog(t *testing.T) {
	t.Parallel()
	code, stdout, stderr, _ := subprocess(t, map[string]string{"COBRO_LOG_FORMAT": "xml"}, "--log-level", "debug", "config", "check")
	require.Equal(t, 1, code, stderr)
	require.Contains(t, stdout, "COBRO_LOG_FORMAT is none of text, json")

	code, _, stderr, _ = subprocess(t, map[string]string{"COBRO_WAIT": "soon"}, "--log-level", "debug", "api")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "COBRO_API_KEY is not set", "a start shows every problem, wherever its flags stand")
}

// A mistyped address of a server is no name of a file, and may hold a password.
func TestAMistypedStoreIsRefusedAndNotShown(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"host=db password=hunter2", "user=cobro pass=hunter2 host=db", "postgres:cobro:hunter2@db/cobro", "cobro:hunter2@db:5432/cobro",
		"//cobro:hunter2@db/cobro", "mysql://cobro:hunter2@db/cobro", "sqlite://cobro:hunter2@db/cobro", "sqlite:postgres://cobro:hunter2@db/cobro",
		"hunter2://db", "hunter2.db", "postgres://cobro:12/hunter2@db:5432/cobro", "postgres://cobro:12?hunter2@db:5432/cobro",
		"postgres://cobro:12#hunter2@db:5432/cobro", "postgres://cobro:hunter2/x@db:5432/cobro",
	} {
		env := map[string]string{"COBRO_STORE": dsn}
		code, stdout, stderr, folder := subprocess(t, env, "migrate")
		require.Equal(t, 1, code, dsn)
		require.Regexp(t, "unknown kind of database|cannot be read", stderr)
		require.NotContains(t, stdout+stderr, "hunter2")
		made, err := os.ReadDir(folder)
		require.NoError(t, err)
		require.Empty(t, made, dsn)

		code, stdout, stderr, _ = subprocess(t, env, "config", "check")
		require.Equal(t, 1, code, dsn)
		require.Contains(t, stdout, "COBRO_STORE does not serve")
		require.NotContains(t, stdout+stderr, "hunter2")
	}
	file := filepath.Join(t.TempDir(), "cobro.db") // absolute
	code, _, stderr, _ := subprocess(t, map[string]string{"COBRO_STORE": file}, "migrate")
	require.Zero(t, code, stderr)
	_, stdout, _, _ := subprocess(t, map[string]string{"COBRO_STORE": file}, "config", "check")
	require.Contains(t, stdout, file)
}

func TestABrokenSecretFileIsNamed(t *testing.T) {
	t.Parallel()
	for command, secret := range map[string]string{
		"migrate":                        "COBRO_STORE",
		"import django-athm /dev/null":   "COBRO_STORE",
		"reconcile --from 2026-01-31":    "COBRO_STORE",
		"receiver list":                  "COBRO_STORE",
		"receiver remove shop":           "COBRO_STORE",
		"notification redeliver":         "COBRO_STORE",
		"review list":                    "COBRO_API_KEY",
		"review resolve pay_x":           "COBRO_API_KEY",
		"webhook subscribe":              "COBRO_WEBHOOK_SECRET",
		"webhook subscribe --timeout 5s": "COBRO_ATHM_PRIVATE_TOKEN",
		"api":                            "COBRO_STORE",
		"worker":                         "COBRO_ATHM_PRIVATE_TOKEN",
	} {
		args := strings.Fields(command)
		switch strings.Join(args[:min(2, len(args))], " ") {
		case "import django-athm":
			args[2] = dump("dump.json")
		case "notification redeliver":
			args = append(args, "--since", "2026-01-31T00:00:00Z")
		case "review resolve":
			args = append(args, "--verdict", "completed", "--reason", "seen")
		case "webhook subscribe":
			args = append(args, "--url", "https://pay.example.com")
		}
		code, stdout, stderr := cobro(t, map[string]string{secret + "_FILE": "/missing"}, args...)
		require.Equal(t, 1, code, "%s: %s", command, stderr)
		require.Contains(t, stderr, secret+"_FILE names a file that cannot be read: open /missing", "%s: %s", command, stdout)
	}
}
