package outbound_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDjangoCodeOfDocsWorks runs the views of docs/from-django-athm.md unchanged,
// each with its own imports only, on a stub of Django.
func TestDjangoCodeOfDocsWorks(t *testing.T) {
	t.Parallel()
	have(t, "python3")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "from-django-athm.md"))
	require.NoError(t, err)
	var code []string
	for _, part := range strings.Split(string(page), "```python\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		code = append(code, text)
	}
	require.Len(t, code, 3, "django-athm's receiver, the webhook's view, the button's views")
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "django"))))
	given, err := json.Marshal(code[1:])
	require.NoError(t, err)
	runScript(t.Context(), t, folder, given, "python3", "views.py")
}
