package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// shellOf returns the first block of shell of one section of README.md.
func shellOf(t *testing.T, heading string) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n## "+heading+"\n")
	require.True(t, found, "README.md has no section %q", heading)
	section, _, _ = strings.Cut(section, "\n## ")
	_, code, found := strings.Cut(section, "```sh\n")
	require.True(t, found)
	code, _, closed := strings.Cut(code, "```")
	require.True(t, closed)
	return code
}

// TestReadmeCommandsWork does what a new user does: the lines of README.md, word
// for word and one after the other, in a folder of its own beside a running dev.
func TestReadmeCommandsWork(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				require.NoError(t, err, "CI must have it: .ci/install brings it")
			}
			t.Skipf("%s is not installed; `make install` brings it", program)
		}
	}
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	written, err := json.Marshal(system.at)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(file(".cobro"), 0o700))
	require.NoError(t, os.WriteFile(file(".cobro/addresses.json"), written, 0o600))
	ids := "\nprintf '%s' \"$ID\" >"

	script := "set -eu\n" + shellOf(t, "Take a payment") + ids + "first\n" + shellOf(t, "Resolve unknown outcomes") + ids + "second\n"
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = folder
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)

	read := func(name string) string {
		data, err := os.ReadFile(file(name))
		require.NoError(t, err)
		return string(data)
	}
	first := system.show(t, read("first"))
	require.Equal(t, "completed", first.Status)
	require.Equal(t, "5.00", first.RefundedAmount)
	var unknown refund
	require.NoError(t, json.Unmarshal([]byte(read("refund.json")), &unknown))
	require.Equal(t, "pending", unknown.Status)
	refunds := as[struct{ Refunds []refund }](t, system.merchant(t, http.MethodGet, "/v1/payments/"+read("second")+"/refunds", nil)).Refunds
	require.Len(t, refunds, 1)
	require.Equal(t, unknown.ID, refunds[0].ID)
	require.Equal(t, "failed", refunds[0].Status, "the verdict")
}
