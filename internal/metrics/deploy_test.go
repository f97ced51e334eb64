package metrics_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// Parts of a PromQL expression: metric names, label matchers and groupings.
var (
	metricName = regexp.MustCompile(`\b(?:cobro|temporal|go|process)_[a-z0-9_]+`)
	selectors  = regexp.MustCompile(`\{[^}]*\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	grouping   = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
)

// requireExpression requires that every metric and label of an expression
// exists.
func requireExpression(t *testing.T, where, expression string, known map[string]exposed) {
	t.Helper()
	require.Equal(t, strings.Count(expression, "("), strings.Count(expression, ")"), "%s: %s", where, expression)
	plain := quoted.ReplaceAllString(expression, `""`)
	labels := []string{"le", "instance"}
	bare := grouping.ReplaceAllString(selectors.ReplaceAllString(plain, ""), "")
	names := metricName.FindAllString(bare, -1)
	require.NotEmpty(t, names, "%s names no metric: %s", where, expression)
	for _, name := range names {
		family, ok := known[name]
		if !ok {
			family, ok = known[histogram.ReplaceAllString(name, "")]
			ok = ok && family.kind == "histogram"
		}
		require.True(t, ok, "%s names %s, which does not exist", where, name)
		if family.kind == "counter" {
			require.Regexp(t, `(rate|increase)\(`+name, bare, "%s: a counter needs rate or increase", where)
		}
		labels = append(labels, family.labels...)
	}
	var used []string
	for _, selector := range selectors.FindAllString(plain, -1) {
		for _, match := range matcher.FindAllStringSubmatch(selector, -1) {
			used = append(used, match[1])
		}
	}
	for _, match := range grouping.FindAllStringSubmatch(plain, -1) {
		used = append(used, strings.FieldsFunc(match[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	for _, label := range used {
		require.True(t, slices.Contains(labels, label), "%s uses the label %s, which none of its metrics has: %s", where, label, expression)
	}
}

func TestAlertRulesUseExistingMetrics(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert       string
				Expr        string
				For         string
				Labels      map[string]string
				Annotations struct {
					Summary    string
					RunbookURL string `yaml:"runbook_url"`
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(source, &file))
	require.Len(t, file.Groups, 1)
	known := families(t, scrape(t, exercised(t)))
	var names []string
	for _, rule := range file.Groups[0].Rules {
		require.Regexp(t, `^Cobro[A-Z]`, rule.Alert)
		requireExpression(t, rule.Alert, rule.Expr, known)
		require.Contains(t, []string{"page", "warning"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations.Summary, rule.Alert)
		require.Regexp(t, `^https://github\.com/cobropay/cobro/blob/main/docs/operations\.md#[a-z-]+$`, rule.Annotations.RunbookURL)
		names = append(names, rule.Alert)
	}
	for _, promised := range []string{
		"CobroNeedsReview", "CobroUnknownOutcomes", "CobroNotificationsFailed", "CobroWebhooksPending", "CobroGatewayDown",
		"CobroNoReconciliation", "CobroWorkerAway", "CobroWebhooksRefused",
	} {
		require.Contains(t, names, promised)
	}
}

func TestDashboardUsesExistingMetrics(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../deploy/grafana/cobro.json")
	require.NoError(t, err)
	var dashboard struct {
		Title  string
		Panels []struct {
			ID          int
			Type        string
			Title       string
			Description string
			GridPos     struct{ X, Y, W, H int }
			Datasource  struct{ UID string }
			Targets     []struct {
				Expr         string
				LegendFormat string
			}
		}
	}
	require.NoError(t, json.Unmarshal(source, &dashboard))
	require.Equal(t, "Cobro", dashboard.Title)
	known := families(t, scrape(t, exercised(t)))
	seen := map[int]bool{}
	taken := map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		require.False(t, seen[panel.ID], "duplicate panel id %d", panel.ID)
		seen[panel.ID] = true
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				require.Less(t, x, 24, panel.Title)
				require.Empty(t, taken[[2]int{x, y}], "%s overlaps another panel", panel.Title)
				taken[[2]int{x, y}] = panel.Title
			}
		}
		if panel.Type == "row" {
			continue
		}
		require.NotEmpty(t, panel.Description, panel.Title)
		require.Equal(t, "${datasource}", panel.Datasource.UID, panel.Title)
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			requireExpression(t, panel.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"), known)
			for _, label := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				require.Contains(t, target.Expr, label[1], "%s: its legend uses a label that the query aggregates away", panel.Title)
			}
		}
	}
}
