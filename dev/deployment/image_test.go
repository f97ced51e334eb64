package deployment

import (
	"context"
	"debug/elf"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// image is a root with the files of the image of cobro, and a /tmp.
type image struct{ root string }

// newImage skips the test for a user who may not chroot, unless in CI.
func newImage(t *testing.T) image {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs the image's root by chroot, which only root may do")
		}
		t.Skip("only root may chroot: run this test as root to see cobro in an empty root")
	}
	programs := build(t)
	i := image{root: t.TempDir()}
	program, err := os.ReadFile(filepath.Join(programs, "cobro"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(i.root, "cobro"), program, 0o755)) // it is run by another user
	require.NoError(t, os.Mkdir(filepath.Join(i.root, "tmp"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(i.root, "tmp"), 0o777|os.ModeSticky)) // as any /tmp
	for folder := i.root; folder != "/"; folder = filepath.Dir(folder) {            // the other user needs access
		info, err := os.Stat(folder)
		require.NoError(t, err)
		if info.Mode().Perm()&0o001 == 0 {
			require.NoError(t, os.Chmod(folder, info.Mode().Perm()|0o001))
		}
	}
	t.Logf("cobro has %.1f MB", float64(len(program))/1e6)
	return i
}

// run runs cobro alone in its root, as the user of the image, and returns its
// output.
func (i image) run(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/cobro", args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=/nowhere"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: i.root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// certificates is where the Dockerfile puts them.
func certificates(t *testing.T) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^COPY --from=build \S+/ca-certificates.crt (\S+)$`).FindStringSubmatch(read(t, "Dockerfile"))
	require.NotNil(t, match, "the image has no certificates")
	return match[1]
}

func TestBinaryIsStatic(t *testing.T) {
	t.Parallel()
	program, err := elf.Open(filepath.Join(build(t), "cobro"))
	require.NoError(t, err)
	defer func() { require.NoError(t, program.Close()) }()
	libraries, err := program.ImportedLibraries()
	require.NoError(t, err)
	require.Empty(t, libraries)
	for _, header := range program.Progs {
		require.NotEqual(t, elf.PT_INTERP, header.Type, "it asks for a loader, which the image does not have")
	}
}

// TestRunsInEmptyRoot creates an installation and reads local times where there is no
// shell, library or time zone data besides what the image has.
func TestRunsInEmptyRoot(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	began := time.Now()
	out, err := i.run(t, nil, "--help")
	require.NoError(t, err, out)
	require.Contains(t, out, "migrate")
	t.Logf("it answers --help after %d ms", time.Since(began).Milliseconds())

	env := []string{"COBRO_STORE=sqlite:/tmp/cobro.db", "COBRO_KEY_FILE=/tmp/keys.json"}
	for _, command := range []string{"keys", "migrate"} {
		out, err = i.run(t, env, command)
		require.NoError(t, err, out)
	}
	require.NoError(t, os.WriteFile(filepath.Join(i.root, "dump.json"), []byte("[]"), 0o644)) // it is read by another user
	for zone, known := range map[string]bool{"America/Puerto_Rico": true, "America/Nowhere": false} {
		out, err = i.run(t, env, "import", "django-athm", "--dry-run", "--time-zone", zone, "/dump.json")
		require.Equal(t, known, err == nil, "%s: %s", zone, out)
	}
}

func TestImageCertificatesAreTrusted(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	var asked atomic.Int32
	gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	gateway.Config.ErrorLog = log.New(io.Discard, "", 0) // it would log clients that do not trust it
	gateway.StartTLS()
	t.Cleanup(gateway.Close)
	env := []string{
		"COBRO_STORE=sqlite:/tmp/cobro.db", "COBRO_KEY_FILE=/tmp/keys.json", "COBRO_CALL_TIMEOUT=10s",
		"COBRO_GATEWAY_URL=" + gateway.URL, "COBRO_GATEWAY_REPORT_URL=" + gateway.URL,
		"COBRO_ATHM_PUBLIC_TOKEN=public", "COBRO_ATHM_PRIVATE_TOKEN=private",
	}
	for _, command := range []string{"keys", "migrate"} {
		out, err := i.run(t, env, command)
		require.NoError(t, err, out)
	}
	ask := func() string {
		out, err := i.run(t, env, "reconcile", "--from", "2026-01-31", "--dry-run")
		require.Error(t, err, "the gateway refuses")
		return out
	}
	require.Contains(t, ask(), "x509")
	require.Zero(t, asked.Load(), "it is not trusted yet")

	path := filepath.Join(i.root, certificates(t))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755)) // read by another user
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: gateway.Certificate().Raw})
	require.NoError(t, os.WriteFile(path, authority, 0o644)) // read by another user
	require.NotContains(t, ask(), "x509")
	require.Positive(t, asked.Load())
}
