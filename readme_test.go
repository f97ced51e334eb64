package cobro_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// snippets returns the Go code of one section of README.md.
func snippets(t *testing.T, heading string) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n## "+heading+"\n")
	require.True(t, found, "README.md has no section %q", heading)
	section, _, _ = strings.Cut(section, "\n## ")
	var all []string
	for _, block := range strings.Split(section, "```go\n")[1:] {
		code, _, closed := strings.Cut(block, "```")
		require.True(t, closed)
		all = append(all, code)
	}
	return all
}

// What a reader writes around the lines of README.md.
const (
	mainAround = `package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

func sendReceipt(_ context.Context, p payment.Payment) error {
	fmt.Println("receipt:", p.Reference, p.Total, p.Status)
	return nil
}

func main() {
	ctx := context.Background()
%s}
`
	testAround = `package main

import (
	"context"
	"testing"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/cobrotest"
	"github.com/cobropay/cobro/payment"
)

func TestReceivers(t *testing.T) {
%s
%s}
`
)

// TestTheReadmeInAnEmptyModule does what a new user does: the code of "Receive notifications"
// in a module of his own, outside the repository, with their test.
func TestTheReadmeInAnEmptyModule(t *testing.T) {
	t.Parallel()
	code := snippets(t, "Receive notifications")
	require.Len(t, code, 2, "the program, and its test")
	receivers, _, found := strings.Cut(code[0], "cfg, err :=")
	require.True(t, found)

	root, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("main.go", fmt.Sprintf(mainAround, code[0]))
	write("main_test.go", fmt.Sprintf(testAround, receivers, code[1]))
	sums, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	write("go.sum", string(sums)) // saves questions to the checksum database

	run := func(name string, args ...string) (string, error) {
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "COBRO_STORE=", "COBRO_DATA=", "TEMPORAL_ADDRESS=")
		out, err := command.CombinedOutput()
		return string(out), err
	}
	golang := func(args ...string) string {
		t.Helper()
		out, err := run("go", args...)
		require.NoError(t, err, "go %v: %s", args, out)
		return out
	}
	golang("mod", "init", "example.com/shop")
	golang("mod", "edit", "-require=github.com/cobropay/cobro@v0.0.0", "-replace=github.com/cobropay/cobro="+root)
	golang("mod", "tidy")
	golang("vet", ".")
	output := golang("test", "-count=1", "-v", ".")
	require.Contains(t, output, "receipt: order-1 25.00 completed\n")
	require.Equal(t, 3, strings.Count(output, "receipt: "), "once in the shop, and twice by Deliver: %s", output)

	// Without a dev there is nothing to run beside, which the program says.
	golang("build", "-o", "shop", ".")
	out, err := run(filepath.Join(dir, "shop"))
	require.Error(t, err)
	require.Contains(t, out, "start dev in this folder")

	required, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	for _, foreign := range []string{"go.temporal.io/server", "go-mail", "go-smtp", "kin-openapi"} {
		require.NotContains(t, string(required), foreign, "a merchant does not carry what dev and the examples need")
	}
}
