package cobro_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	runbook = regexp.MustCompile(`docs/operations\.md#(\S+)`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are those that GitHub makes of a page's headings.
func anchors(t *testing.T, path string) []string {
	t.Helper()
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	var all []string
	for _, match := range heading.FindAllStringSubmatch(string(page), -1) {
		all = append(all, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}

// Alerts link to these, so that whoever is woken up lands on what to do.
func TestIncidentsHaveTheirAnchors(t *testing.T) {
	t.Parallel()
	require.Subset(t, anchors(t, "docs/operations.md"), []string{
		"gateway-down", "temporal-down", "database-down", "stuck-payment", "wrong-refund", "unknown-outcomes", "needs-review",
		"notifications-failing", "webhooks-pending", "no-reconciliation", "worker-away",
	})
	alerts, err := os.ReadFile("deploy/prometheus/alerts.yml")
	require.NoError(t, err)
	linked := runbook.FindAllStringSubmatch(string(alerts), -1)
	require.NotEmpty(t, linked)
	for _, match := range linked {
		require.Contains(t, anchors(t, "docs/operations.md"), match[1])
	}
}

func TestLinksOfTheGuidesLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"README.md", "docs/api.md", "docs/operations.md", "docs/security.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(match[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			_, err := os.Stat(target)
			require.NoError(t, err, "%s links to %s", page, match[1])
			if anchor != "" {
				require.Contains(t, anchors(t, target), anchor, "%s links to %s", page, match[1])
			}
		}
	}
}
