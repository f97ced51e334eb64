package athmovilsim_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

func readme(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(content)
}

// TestReadmeTablesMatchCode compares README.md with the tables that drive the
// simulator.
func TestReadmeTablesMatchCode(t *testing.T) {
	t.Parallel()
	for heading, want := range map[string]map[string]string{
		"## Customers\n": athmovilsim.Customers(),
		"## Faults\n":    athmovilsim.Faults(),
	} {
		_, section, found := strings.Cut(readme(t), heading)
		require.True(t, found)
		section, _, _ = strings.Cut(section, "\n## ")
		rows := map[string]string{}
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\|$").FindAllStringSubmatch(section, -1) {
			rows[row[1]] = row[2]
		}
		require.Equal(t, want, rows)
	}
}

// TestReadmePaymentWorks runs the shell script of README.md.
func TestReadmePaymentWorks(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	w := start(t, athmovilsim.Config{})
	_, script, found := strings.Cut(readme(t), "## A payment with nothing but curl\n\n```sh\n")
	require.True(t, found)
	script, _, found = strings.Cut(script, "```")
	require.True(t, found)
	script = strings.NewReplacer("http://127.0.0.1:8090", w.gateway.URL, "http://127.0.0.1:8091", w.control.URL).Replace(script)
	out, err := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), `"ecommerceStatus":"COMPLETED"`)
	require.Contains(t, string(out), `"credits":"5.00"`)
	debits, credits := w.books()
	require.Equal(t, "25.00", debits)
	require.Equal(t, "5.00", credits)
}
