package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	verb    = regexp.MustCompile(`%[a-z]`)
	english = regexp.MustCompile(`\b(must|is|the|of|and|least|most|between|such|characters)\b`)
	spanish = regexp.MustCompile(`\b(debe|deben|es|no|se|una|la)\b`)
)

// TestRulesSpeakBothLanguages reads every rule that the source can break. A rule
// is made of two texts, and of nothing else, wherever it is.
func TestRulesSpeakBothLanguages(t *testing.T) {
	t.Parallel()
	found := 0
	for _, pattern := range []string{"*.go", "../payment/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			positions := token.NewFileSet()
			file, err := parser.ParseFile(positions, path, nil, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				texts, rule := ruleTexts(t, n)
				if !rule || len(texts) == 0 { // the zero rule is none
					return true
				}
				found++
				at := positions.Position(n.Pos()).String()
				require.Len(t, texts, 2, "%s: English and Spanish", at)
				require.Regexp(t, english, texts[0], at)
				require.NotRegexp(t, spanish, texts[0], at)
				require.Regexp(t, spanish, texts[1], at)
				require.NotRegexp(t, english, texts[1], at)
				require.Equal(t, verb.FindAllString(texts[0], -1), verb.FindAllString(texts[1], -1), at)
				return true
			})
		}
	}
	require.Greater(t, found, 30)
}

// ruleTexts returns the texts of a literal Rule.
func ruleTexts(t *testing.T, n ast.Node) (texts []string, rule bool) {
	literal, ok := n.(*ast.CompositeLit)
	if !ok {
		return nil, false
	}
	switch named := literal.Type.(type) {
	case *ast.Ident:
		rule = named.Name == "Rule"
	case *ast.SelectorExpr:
		rule = named.Sel.Name == "Rule"
	}
	if !rule {
		return nil, false
	}
	for _, element := range literal.Elts {
		if pair, keyed := element.(*ast.KeyValueExpr); keyed {
			element = pair.Value
		}
		text, ok := element.(*ast.BasicLit)
		require.True(t, ok, "a rule is two texts in the source")
		unquoted, err := strconv.Unquote(text.Value)
		require.NoError(t, err)
		texts = append(texts, unquoted)
	}
	return texts, true
}
