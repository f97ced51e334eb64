package settings_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", path))
	require.NoError(t, err)
	return string(text)
}

// To renew the page's table, copy it from the failure.
func TestOperationsListsEverySetting(t *testing.T) {
	t.Parallel()
	table := "| variable | default | read by | for |\n| --- | --- | --- | --- |\n"
	for _, s := range settings.All() {
		standard := s.Defaults()
		if s.Needs&settings.Everything != 0 {
			standard = "required"
		}
		if dev := s.DefaultFor(settings.DevProgram); s.Of&settings.DevProgram != 0 && s.Of != settings.DevProgram && dev != s.Default {
			standard += ", " + dev + " (dev)"
		}
		table += fmt.Sprintf("| `%s` | %s | %s | %s |\n", s.Name, standard, s.Of, strings.TrimSuffix(s.Help, "."))
	}
	if !strings.Contains(page(t, "docs/operations.md"), "\n"+table+"\n") {
		t.Errorf("docs/operations.md has another table of settings than:\n\n%s", table)
	}
}

// stated is a default behind its variable, as pages write it: `COBRO_DRAIN` (5 s).
var stated = regexp.MustCompile("`(COBRO_[A-Z_]+)` \\(([0-9][^)]*|`[a-z0-9]+`)\\)")

func TestPagesStateTheDefaults(t *testing.T) {
	t.Parallel()
	defaults := map[string][]string{}
	for _, s := range settings.All() {
		defaults[s.Name] = []string{s.DefaultFor(settings.API), s.DefaultFor(settings.Worker)}
	}
	found := 0
	docs, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	for _, path := range append(docs, "../../README.md") {
		for _, match := range stated.FindAllStringSubmatch(page(t, strings.TrimPrefix(path, "../../")), -1) {
			value := strings.NewReplacer("`", "", ",", "", " ", "").Replace(match[2])
			require.Contains(t, defaults[match[1]], value, "%s: %s", path, match[0])
			found++
		}
	}
	require.GreaterOrEqual(t, found, 5, "the search finds something")

	worker, api := settings.DefaultWorkerStopTimeout, settings.DefaultAPIStopTimeout
	comment := regexp.MustCompile(`\s+# `).ReplaceAllString(page(t, "docker-compose.yml"), " ")
	require.Contains(t, comment, fmt.Sprintf("COBRO_STOP_TIMEOUT, which is %.0f s for the API (including COBRO_DRAIN) and %.0f s for the worker", api.Seconds(), worker.Seconds()))
	metrics := page(t, "docs/metrics.md")
	require.Equal(t, 2, strings.Count(metrics, "`"+settings.DefaultOpsListen+"`"), "of the API and of dev")
	reference := page(t, "api/openapi.yaml")
	waits := regexp.MustCompile(`up to (\d+) seconds`).FindAllStringSubmatch(reference, -1)
	require.NotEmpty(t, waits)
	for _, match := range waits {
		require.Equal(t, fmt.Sprintf("%.0f", settings.DefaultWait.Seconds()), match[1], match[0])
	}
	require.Contains(t, reference, fmt.Sprintf("minimum: %.0f\n", payment.MinExpiresIn.Seconds()))
}

// TestCommentsStateTheDefaults reads what the fields' comments say.
func TestCommentsStateTheDefaults(t *testing.T) {
	t.Parallel()
	timing := workflows.DefaultTiming()
	require.Equal(t, athmovil.DefaultTimeout, timing.Call, "workflows know nothing of the client")
	for _, of := range []struct {
		file, name string
		fields     map[string]string
	}{
		{"workflows/messages.go", "Timing", map[string]string{
			"Details": "Default " + spoken(timing.Details, "s"), "CancelMargin": "Default " + spoken(timing.CancelMargin, "s"),
			"Grace": "Default " + spoken(timing.Grace, "min"), "Stale": "Default " + spoken(timing.Stale, "s"),
			"PollFirst": "Defaults " + spoken(timing.PollFirst, "s") + " and " + spoken(timing.PollMost, "s"),
			"Call":      "Default " + spoken(timing.Call, "s"),
			"Settle":    "Default " + spoken(timing.Settle, "min"), "Review": "Default " + spoken(timing.Review, "h"),
		}},
		{"worker/worker.go", "Config", map[string]string{
			"CallTimeout": "Zero means " + spoken(athmovil.DefaultTimeout, "seconds"),
			"PollFirst":   "Zero means 1 second, and 5 seconds",
			"ReconcileAt": "Empty means " + settings.DefaultReconcileAt, "StartTimeout": "Zero means " + spoken(temporalclient.DefaultWait, "seconds"),
			"StopTimeout": "Zero means " + spoken(settings.DefaultWorkerStopTimeout, "seconds"),
		}},
		{"internal/serve/serve.go", "Config", map[string]string{
			"StopTimeout": "Zero means " + spoken(settings.DefaultAPIStopTimeout, "seconds"),
		}},
		{"internal/process/process.go", "Config", map[string]string{
			"StartTimeout": "Zero means " + spoken(temporalclient.DefaultWait, "seconds"),
		}},
	} {
		comments := fieldComments(t, of.file, of.name)
		for field, want := range of.fields {
			require.Contains(t, comments[field], want, "%s: %s.%s", of.file, of.name, field)
		}
	}
	require.Equal(t, [2]time.Duration{time.Second, 5 * time.Second}, [2]time.Duration{timing.PollFirst, timing.PollMost})
}

// spoken writes a duration in a unit.
func spoken(d time.Duration, unit string) string {
	of := map[string]time.Duration{"s": time.Second, "seconds": time.Second, "min": time.Minute, "h": time.Hour}[unit]
	return fmt.Sprintf("%d %s", d/of, unit)
}

// fieldComments returns the comments of a struct's fields, each in one line.
func fieldComments(t *testing.T, path, name string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", path), nil, parser.ParseComments)
	require.NoError(t, err)
	comments := map[string]string{}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		if fields, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range fields.Fields.List {
				for _, ident := range field.Names {
					comments[ident.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
				}
			}
		}
		return false
	})
	require.NotEmpty(t, comments, path)
	return comments
}
