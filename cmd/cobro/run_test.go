package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cobro runs the program as the command line does.
func cobro(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a program that ought to end and does not fails the test
	defer cancel()
	var out, errs bytes.Buffer
	code = run(ctx, args, func(name string) string { return env[name] }, &out, &errs)
	return code, out.String(), errs.String()
}

// cobroWith also lists the variables, as a process does, so that misspelled names
// are found.
func cobroWith(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	var all []string
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	code = run(t.Context(), args, func(name string) string { return env[name] }, &out, &errs, all...)
	return code, out.String(), errs.String()
}

func TestANewInstallation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := map[string]string{"COBRO_STORE": "sqlite:" + filepath.Join(dir, "cobro.db"), "COBRO_KEY_FILE": filepath.Join(dir, "keys.json")}
	code, _, stderr := cobro(t, env, "keys")
	require.Zero(t, code, stderr)
	info, err := os.Stat(env["COBRO_KEY_FILE"])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	code, _, stderr = cobro(t, env, "keys")
	require.Equal(t, 1, code, "a key ring is never overwritten")
	require.Equal(t, "cobro: "+env["COBRO_KEY_FILE"]+" exists already; cobro keys add --key-file "+env["COBRO_KEY_FILE"]+" adds a key\n", stderr)

	for range 2 {
		code, stdout, stderr := cobro(t, env, "migrate")
		require.Zero(t, code, stderr)
		require.Contains(t, stdout, "up to date")
	}
}

func TestMistakesSayWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stored := map[string]string{"COBRO_STORE": "sqlite:" + filepath.Join(dir, "cobro.db"), "COBRO_KEY_FILE": filepath.Join(dir, "keys.json")}
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		code int
		says string
	}{
		"no command":      {nil, nil, 2, "cobro --help"},
		"unknown command": {nil, []string{"refundall"}, 2, "cobro --help"},
		"no store":        {nil, []string{"migrate"}, 2, "--store"},
		"no API key":      {stored, []string{"api"}, 1, "COBRO_API_KEY is not set"},
		"no secret":       {stored, []string{"api"}, 1, "COBRO_WEBHOOK_SECRET is not set"},
		"no token":        {stored, []string{"worker"}, 1, "COBRO_ATHM_PUBLIC_TOKEN"},
	} {
		code, _, stderr := cobro(t, tt.env, tt.args...)
		require.Equal(t, tt.code, code, "%s: %s", name, stderr)
		require.Contains(t, stderr, tt.says, name)
	}
}
