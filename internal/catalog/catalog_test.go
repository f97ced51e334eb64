package catalog

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"

	"github.com/cobropay/cobro/payment"
)

func TestMatchChoosesTheReadersLanguage(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]language.Tag{
		"es":                              language.Spanish,
		" es":                             language.Spanish,
		"es-PR":                           language.Spanish,
		"es-419,en;q=0.9":                 language.Spanish,
		"es-MX,en":                        language.Spanish,
		"ES-pr, en;q=0.8":                 language.Spanish,
		"es-PR;q=0.8,en;q=0.8":            language.Spanish,
		"en;q=0.5, es;q=0.9":              language.Spanish,
		"fr, es;q=0.5":                    language.Spanish,
		"fr,*;q=0.5,es;q=0.1":             language.Spanish,
		"es;q=0.900, en;q=0.85":           language.Spanish,
		"":                                language.English,
		"en":                              language.English,
		"en, es":                          language.English,
		"en-GB,es":                        language.English,
		"fr-CA, en, es":                   language.English,
		"en-US,en;q=0.9,es;q=0.8":         language.English,
		"es ; q=0.8 , en":                 language.English,
		"es;q=0":                          language.English,
		"es;q=0,en;q=0.5":                 language.English,
		"fr":                              language.English,
		"*":                               language.English,
		"esperanto":                       language.English,
		";;;,,q=":                         language.English,
		strings.Repeat("es-", 1000) + "x": language.English,
	} {
		require.Equal(t, want, Match(accept), accept)
	}
}

func TestTextsOfRules(t *testing.T) {
	t.Parallel()
	between := payment.Rule{Code: payment.RuleBetween, Args: []any{1, 100}}
	require.Equal(t, "must be between 1 and 100", Rule(Match("en-US"), between))
	require.Equal(t, "debe estar entre 1 y 100", Rule(Match("es-PR"), between))
	require.Equal(t, Rule(language.English, between), English(between))
	require.Equal(t, "nobody_knows(1)", English(payment.Rule{Code: "nobody_knows", Args: []any{1}}))
}

func TestTextsOfProblems(t *testing.T) {
	t.Parallel()
	title, detail := Problem(Match("es-PR"), "payment_not_cancellable")
	require.Equal(t, "El pago ya no se puede cancelar", title)
	require.Equal(t, "Ya terminó; su estado está en payment_status.", detail)
	title, detail = Problem(Match("es-PR"), "nobody_knows")
	require.Equal(t, []string{"nobody_knows", "nobody_knows"}, []string{title, detail})
}

var (
	verb    = regexp.MustCompile(`%[a-z]`)
	english = regexp.MustCompile(`\b(must|is|the|of|and|least|most|between|such|characters)\b`)
	spanish = regexp.MustCompile(`\b(debe|es|no|se|una|la)\b`)
	foreign = regexp.MustCompile(`(?i)petici|cabecera|usted\b`) // not Puerto Rico's, or not tú
)

// TestRulesHaveTexts reads every rule in the source: each has a text in both
// languages with a verb for each of its arguments, and no text is left over.
func TestRulesHaveTexts(t *testing.T) {
	t.Parallel()
	codes, uses := map[string]payment.RuleCode{}, map[payment.RuleCode][]use{}
	positions, files := source(t)
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool { addConstants(codes, "RuleCode", n); return true })
	}
	for _, file := range files {
		each(file, "Rule", func(at token.Pos, fields map[string]ast.Expr) {
			code := payment.RuleCode(value(fields["Code"]))
			if named, ok := codes[name(fields["Code"])]; ok {
				code = named
			}
			args, _ := fields["Args"].(*ast.CompositeLit)
			found := use{at: positions.Position(at).String()}
			if args != nil {
				found.args = len(args.Elts)
			}
			uses[code] = append(uses[code], found)
		})
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(uses)), slices.Collect(maps.Keys(rules)))
	require.Subset(t, slices.Collect(maps.Keys(uses)), slices.Collect(maps.Values(codes)))
	for code, both := range rules {
		require.Regexp(t, english, both.en, code)
		require.NotRegexp(t, spanish, both.en, code)
		require.Regexp(t, spanish, both.es, code)
		require.NotRegexp(t, english, both.es, code)
		require.NotRegexp(t, foreign, both.es, code)
		verbs := verb.FindAllString(both.en, -1)
		require.Equal(t, verbs, verb.FindAllString(both.es, -1), code)
		for _, one := range uses[code] {
			require.Len(t, verbs, one.args, "%s, %s", code, one.at)
		}
	}
}

// TestProblemsHaveTexts reads every kind of refusal in the source: each has texts
// in both languages, and no text is left over.
func TestProblemsHaveTexts(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{}
	_, files := source(t)
	for _, file := range files {
		if file.Name.Name == "api" || file.Name.Name == "app" {
			ast.Inspect(file, func(n ast.Node) bool { addConstants(kinds, "Kind", n); return true })
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Values(kinds)), slices.Collect(maps.Keys(problems)))
	for key, p := range problems {
		require.NotEqual(t, p.title.en, p.title.es, key)
		require.NotEqual(t, p.detail.en, p.detail.es, key)
		for _, both := range []text{p.title, p.detail} {
			require.NotRegexp(t, foreign, both.es, key)
			require.NotContains(t, both.en+both.es, "%", key)
		}
		require.Regexp(t, `[^.]$`, p.title.en, key)
		require.Regexp(t, `[^.]$`, p.title.es, key)
		require.Regexp(t, `.\.$`, p.detail.en, key)
		require.Regexp(t, `.\.$`, p.detail.es, key)
	}
}

// use is where a rule is made, with how many arguments.
type use struct {
	at   string
	args int
}

// source parses everything that Cobro is made of.
func source(t *testing.T) (positions *token.FileSet, files []*ast.File) {
	t.Helper()
	positions = token.NewFileSet()
	for _, dir := range []string{"activities", "api", "cmd", "cobrotest", "internal", "payment", "worker", "workflows"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("../..", dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(positions, path, nil, 0)
			files = append(files, file)
			return err
		}))
	}
	return positions, files
}

// addConstants adds the constants of a declaration whose type has a name.
func addConstants[T ~string](to map[string]T, named string, n ast.Node) {
	if spec, ok := n.(*ast.ValueSpec); ok && name(spec.Type) == named {
		for i, constant := range spec.Names {
			to[constant.Name] = T(value(spec.Values[i]))
		}
	}
}

// each calls a function for every literal of a named struct, with its fields.
func each(file *ast.File, named string, do func(at token.Pos, fields map[string]ast.Expr)) {
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok || name(literal.Type) != named {
			return true
		}
		fields := map[string]ast.Expr{}
		for _, element := range literal.Elts {
			if pair, keyed := element.(*ast.KeyValueExpr); keyed {
				fields[name(pair.Key)] = pair.Value
			}
		}
		do(literal.Pos(), fields)
		return true
	})
}

// name returns what an expression ends in: Rule for payment.Rule.
func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	default:
		return ""
	}
}

// value returns a text of the source, or "".
func value(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, _ := strconv.Unquote(literal.Value)
	return text
}
