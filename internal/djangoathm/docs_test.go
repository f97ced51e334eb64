package djangoathm_test

import (
	"encoding/csv"
	"go/parser"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

// People who migrate look up the names they know: every column and every event
// is on the page. The page's Go code parses.
func TestMigrationPageNamesEveryColumnAndEvent(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "from-django-athm.md"))
	require.NoError(t, err)
	for _, event := range payment.Events() {
		require.Contains(t, string(page), "`"+string(event)+"`")
	}
	for _, file := range files(t, "postgres/*.csv") {
		if file.Name == "athm_webhook_event.csv" {
			continue // not imported
		}
		header, err := csv.NewReader(file.Content).Read()
		require.NoError(t, err)
		for _, column := range header {
			name := column
			if column == "client_id" || column == "payment_id" {
				name = strings.TrimSuffix(column, "_id")
			}
			require.Contains(t, string(page), "`"+name+"`", file.Name)
		}
	}
	blocks := strings.Split(string(page), "```go\n")
	require.Len(t, blocks, 2)
	code, _, _ := strings.Cut(blocks[1], "```")
	_, err = parser.ParseExpr("func() error {\n" + code + "\nreturn err\n}")
	require.NoError(t, err)
}
