//go:build unix

package seal_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// asUser returns a function that runs the calling test in a child process with
// this user id and group id. It needs root.
func asUser(t *testing.T, number uint32) func(t *testing.T, env ...string) (output string, err error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to run as another user")
	}
	// The test binary is in a folder that other users cannot enter.
	dir, err := os.MkdirTemp("", "program")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	own, err := os.Executable()
	require.NoError(t, err)
	source, err := os.Open(own)
	require.NoError(t, err)
	defer source.Close()
	program := filepath.Join(dir, "test")
	copied, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(copied, source)
	require.NoError(t, err)
	require.NoError(t, copied.Close())
	name := t.Name()
	return func(t *testing.T, env ...string) (string, error) {
		t.Helper()
		command := exec.CommandContext(t.Context(), program, "-test.v", "-test.run", "^"+name+"$")
		command.Env, command.Dir = append(os.Environ(), env...), dir
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: number, Gid: number}}
		output, err := command.CombinedOutput()
		return string(output), err
	}
}
