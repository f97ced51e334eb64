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

// asUser returns what runs the calling test in a process of another user, with a
// group of the same number. Only root can.
func asUser(t *testing.T, number uint32) func(t *testing.T, env ...string) (output string, err error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	// The program of the test is in a folder that others may not enter.
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
