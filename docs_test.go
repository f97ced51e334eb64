package cobro_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	link     = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
	fence    = regexp.MustCompile("(?ms)^ *```.*?^ *```$") // code, which may have brackets and lines that begin with #
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	runbook  = regexp.MustCompile(`docs/operations\.md#(\S+)`)
	noSlug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	testName = regexp.MustCompile(`^Test\w+$`)
	logging  = regexp.MustCompile(`\b[Ll]og(s|ged)?\b`)
	message  = regexp.MustCompile("`([a-z]+(?: [a-z]+)+)`")
)

// anchors are those that GitHub makes of a page's headings.
func anchors(t *testing.T, path string) []string {
	t.Helper()
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	var all []string
	for _, match := range heading.FindAllStringSubmatch(string(fence.ReplaceAll(page, nil)), -1) {
		all = append(all, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}

// Alerts link to these, so that whoever is woken up lands on what to do.
func TestIncidentsHaveTheirAnchors(t *testing.T) {
	t.Parallel()
	require.Subset(t, anchors(t, "docs/operations.md"), []string{
		"gateway-down", "temporal-down", "database-down", "stuck-payment", "wrong-refund", "unknown-outcomes", "needs-review",
		"notifications-failing", "webhooks-pending", "no-reconciliation", "worker-down",
	})
	alerts, err := os.ReadFile("deploy/prometheus/alerts.yml")
	require.NoError(t, err)
	linked := runbook.FindAllStringSubmatch(string(alerts), -1)
	require.NotEmpty(t, linked)
	for _, match := range linked {
		require.Contains(t, anchors(t, "docs/operations.md"), match[1])
	}
}

// pages are all of the repository's pages.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == "node_modules" || len(name) > 1 && name[0] == '.') {
			return fs.SkipDir
		}
		if filepath.Ext(name) == ".md" {
			all = append(all, path)
		}
		return nil
	}))
	require.GreaterOrEqual(t, len(all), 15)
	return all
}

// TestLinksLeadSomewhere follows every link of every page to its file, to its
// heading, and to the test that it names.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	named := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range link.FindAllStringSubmatch(string(fence.ReplaceAll(text, nil)), -1) {
			label, to := match[1], match[2]
			if strings.Contains(to, "://") {
				continue
			}
			file, anchor, _ := strings.Cut(to, "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			_, err := os.Stat(target)
			require.NoError(t, err, "%s links to %s", page, to)
			if anchor != "" {
				require.Contains(t, anchors(t, target), anchor, "%s links to %s", page, to)
			}
			if testName.MatchString(label) {
				source, err := os.ReadFile(target)
				require.NoError(t, err)
				require.Contains(t, string(source), "\nfunc "+label+"(t *testing.T)", "%s links to %s", page, to)
				named++
			}
		}
	}
	require.Positive(t, named, "README.md names the tests of what it promises")
}

// Whoever searches a log for what a page quotes finds it.
func TestPagesQuoteTheLog(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	}))
	quoted := 0
	for _, path := range pages(t) {
		page, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.Lines(string(page)) {
			if !logging.MatchString(line) {
				continue
			}
			for _, match := range message.FindAllStringSubmatch(line, -1) {
				if !strings.HasPrefix(match[1], "cobro ") { // a command
					require.Contains(t, code.String(), `"`+match[1], "%s quotes a message that nothing logs", path)
					quoted++
				}
			}
		}
	}
	require.GreaterOrEqual(t, quoted, 4, "the search finds something")
}
