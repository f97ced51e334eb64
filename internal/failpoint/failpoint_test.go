package failpoint_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/failpoint"
)

// TestEveryPointIsReached parses the code: every constant is in Points, and every
// point is reached in exactly one place.
func TestEveryPointIsReached(t *testing.T) {
	t.Parallel()
	declared, reached := map[string]string{}, map[string]int{}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ValueSpec:
				if kind, ok := node.Type.(*ast.Ident); ok && kind.Name == "Point" && file.Name.Name == "failpoint" {
					declared[node.Names[0].Name] = node.Values[0].(*ast.BasicLit).Value
				}
			case *ast.SelectorExpr:
				if from, ok := node.X.(*ast.Ident); ok && from.Name == "failpoint" && node.Sel.Name != "Reach" {
					reached[node.Sel.Name]++
				}
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.Len(t, declared, len(failpoint.Points()))
	for name, value := range declared {
		require.True(t, slices.Contains(failpoint.Points(), failpoint.Point(strings.Trim(value, `"`))), "%s is not listed", name)
		require.Equal(t, 1, reached[name], "%s is reached in one place", name)
	}
}
