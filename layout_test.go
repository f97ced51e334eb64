package cobro_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/cobropay/cobro"

// layer says what a package of ours may import of ours, directly. A package
// that is not here fails the test: decide where it sits in the picture first.
var layers = map[string]struct {
	may []string
	why string
}{
	// What a merchant imports.

	"private":              {nil, "a leaf: everything may wrap a secret"},
	"money":                {nil, "a leaf: amounts know nothing else"},
	"payment":              {[]string{"money", "private"}, "the domain is pure"},
	"athmovil":             {[]string{"money", "private"}, "a library that a stranger imports"},
	"athmovil/athmovilsim": {nil, "a stranger to the client on purpose: shared structs would make both wrong together"},
	"activities":           {[]string{"payment", "internal/catalog", "internal/ledger"}, "what a merchant writes: receivers"},
	"workflows":            {[]string{"payment", "money", "private", "internal/activity", "internal/ledger"}, "decisions only: what is not deterministic is an activity, and nothing of the gateway's client is in a history"},
	"worker":               {[]string{"activities", "private", "internal/runner"}, "the public face of internal/runner, for a merchant who needs nothing from internal"},
	"cobrotest": {[]string{
		"workflows", "activities", "payment", "money", "private", "athmovil", "athmovil/athmovilsim", "internal/activity", "internal/activity/gateway",
		"internal/activity/reconcile", "internal/activity/records", "internal/ledger", "internal/notify", "internal/runner", "internal/store", "internal/seal",
	}, "composes a whole installation for a merchant's tests, who need nothing from internal"},

	// HTTP.

	"api": {[]string{
		"workflows", "payment", "athmovil", "money", "private", "internal/app", "internal/catalog", "internal/failpoint", "internal/ledger",
		"internal/operations", "internal/relay",
	}, "HTTP only: it decodes, asks a use case and encodes"},

	// Inside.

	"internal/app": {[]string{
		"workflows", "payment", "money", "private", "internal/failpoint", "internal/flows", "internal/ledger", "internal/settings",
	}, "what can be done, whoever asks: no HTTP, and stores and workflows come in through interfaces"},
	"internal/flows":    {[]string{"workflows", "payment", "money", "internal/ledger", "internal/temporalclient"}, "the one client of the workflows; it knows no store"},
	"internal/relay":    {[]string{"workflows", "payment", "private", "athmovil", "internal/failpoint", "internal/flows", "internal/ledger"}, "gateway events: made durable, handed over; no HTTP"},
	"internal/poller":   {[]string{"internal/activity", "internal/failpoint", "internal/flows", "internal/ledger"}, "looks at open tickets; what it knows of stores, the gateway and workflows comes in through interfaces"},
	"internal/activity": {[]string{"payment", "money", "private", "internal/ledger"}, "definitions alone: what workflows may ask for, and nothing of how it is done"},
	"internal/activity/gateway": {[]string{
		"athmovil", "payment", "money", "private", "internal/activity", "internal/failpoint", "internal/ledger",
	}, "the one translation between the gateway's client and the domain"},
	"internal/activity/records": {[]string{"payment", "internal/activity", "internal/failpoint", "internal/ledger"}, "the store comes in through an interface"},
	"internal/activity/reconcile": {[]string{
		"athmovil", "payment", "money", "internal/activity", "internal/activity/gateway", "internal/ledger",
	}, "compares the gateway's report with what a store says through an interface"},
	"internal/notify": {[]string{
		"activities", "workflows", "payment", "private", "internal/activity", "internal/failpoint", "internal/ledger", "internal/outbound",
	}, "runs receivers as activities"},
	"internal/ledger":                  {[]string{"payment", "money", "private"}, "pure: what is kept and how it is asked for, without a database"},
	"internal/catalog":                 {[]string{"payment", "internal/ledger"}, "texts in every language, and nothing that decides"},
	"internal/store":                   {[]string{"payment", "money", "private", "internal/ledger"}, "satisfies interfaces that its users declare"},
	"internal/store/postgrestest":      {nil, "starts a server for tests; it knows no tables"},
	"internal/store/storetest":         {[]string{"internal/ledger", "internal/store", "payment", "money", "private"}, "the conformance suite of every database"},
	"internal/outbound":                {[]string{"payment", "money", "private", "internal/catalog", "internal/ledger"}, "a client of merchants' endpoints; it knows nothing of Temporal"},
	"internal/seal":                    {[]string{"private"}, "a leaf: keys know nothing of what they seal"},
	"internal/temporalclient":          {[]string{"private", "internal/seal"}, "Temporal options for every program; a key that is missing is no answer for a workflow"},
	"internal/failpoint":               {nil, "a leaf"},
	"internal/telemetry":               {nil, "a leaf"},
	"internal/telemetry/telemetrytest": {nil, "a leaf: tests read logs with it"},
	"internal/operations":              {nil, "a leaf: health and metrics of any process"},
	"internal/commandline":             {nil, "a leaf: what the command lines of all programs obey"},
	"internal/metrics":                 {[]string{"payment", "athmovil", "internal/ledger", "internal/store"}, "measures the domain, the gateway's client and the store, from outside"},
	"internal/tracing":                 {[]string{"athmovil"}, "makes spans for whoever composes a process"},
	"internal/settings":                {[]string{"workflows", "payment", "athmovil", "private", "internal/temporalclient"}, "knows the variables of every program, and none of the programs; a library's default is the library's"},
	"internal/djangoathm":              {[]string{"athmovil", "payment", "money", "private", "internal/ledger"}, "pure: a dump of another system goes in, the domain's records come out"},
	"internal/doctor": {[]string{
		"athmovil", "private", "internal/store", "internal/temporalclient", "internal/seal", "internal/settings",
	}, "looks at everything that an installation needs, and changes nothing"},

	// Processes and programs.

	"internal/process": {[]string{
		"internal/ledger", "internal/metrics", "internal/operations", "internal/seal", "internal/store", "internal/telemetry", "internal/temporalclient",
		"internal/tracing",
	}, "opens what every program needs, and knows no program"},
	"internal/runner": {[]string{
		"workflows", "activities", "athmovil", "private", "internal/activity", "internal/activity/gateway", "internal/activity/reconcile",
		"internal/activity/records", "internal/flows", "internal/ledger", "internal/metrics", "internal/notify", "internal/operations", "internal/outbound",
		"internal/poller", "internal/process", "internal/settings", "internal/temporalclient", "internal/tracing",
	}, "runs the Temporal workers of one process"},
	"internal/serve": {[]string{
		"api", "workflows", "private", "internal/app", "internal/flows", "internal/metrics", "internal/process", "internal/relay", "internal/settings",
		"internal/temporalclient", "internal/tracing",
	}, "runs the API's process for cmd and dev"},
	"cmd/cobro": {[]string{
		"worker", "payment", "athmovil", "private", "workflows", "internal/activity", "internal/activity/reconcile", "internal/app", "internal/catalog", "internal/commandline",
		"internal/djangoathm", "internal/doctor", "internal/flows", "internal/ledger", "internal/outbound", "internal/process", "internal/runner",
		"internal/seal", "internal/serve", "internal/settings", "internal/store", "internal/telemetry", "internal/temporalclient", "internal/tracing",
	}, "flags and wiring"},
	"cmd/athmovil-sim":    {[]string{"athmovil/athmovilsim", "private", "internal/commandline", "internal/telemetry"}, "flags and wiring"},
	"examples/receivers":  {[]string{"worker", "activities", "payment"}, "what a merchant may import"},
	"examples/receipts":   {[]string{"worker", "activities", "payment", "money"}, "what a merchant may import"},
	"examples/orders":     {[]string{"worker", "activities", "payment"}, "what a merchant may import"},
	"examples/stock":      {[]string{"worker", "activities", "payment"}, "what a merchant may import"},
	"examples/typescript": {nil, "no Go but the tests that hold it to Cobro's types and codec"},
	"":                    {nil, "documentation"},
}

// owners names the only packages that may import a dependency, and why.
var owners = map[string]struct {
	only []string
	why  string
}{
	"github.com/gin-gonic/gin":      {[]string{"api", "cmd/cobro"}, "the HTTP framework lives in api and nowhere else; a program may only set its mode"},
	"github.com/shopspring/decimal": {[]string{"money"}, "only money does arithmetic with decimals"},
	"modernc.org/sqlite":            {[]string{"internal/store", "examples/orders", "examples/stock"}, "only the store knows its database; the examples are merchants with databases of their own"},
	"github.com/jackc/pgx/v5":       {[]string{"internal/store", "internal/store/postgrestest", "examples/orders"}, "the same, and who starts one for tests"},
	"github.com/wneessen/go-mail":   {[]string{"examples/receipts"}, "Cobro sends no email; a merchant does"},
	"github.com/pressly/goose/v3":   {[]string{"internal/store"}, "only the store migrates"},
	"github.com/alecthomas/kong":    {[]string{"cmd/cobro", "cmd/athmovil-sim", "internal/commandline"}, "flags belong to programs"},
	"go.yaml.in/yaml/v3":            {[]string{"internal/outbound"}, "only the endpoints file is YAML"},
	"code.dny.dev/ssrf":             {[]string{"internal/outbound"}, "only what a merchant names needs the guard"},
	"github.com/standard-webhooks":  {[]string{"internal/outbound"}, "one place signs"},
	"golang.org/x/text":             {[]string{"internal/catalog"}, "one place chooses the language of a text"},
	"github.com/getkin/kin-openapi": {nil, "it holds the API's tests to openapi.yaml; no program validates what it says itself"},
	"github.com/resend/resend-go":   {nil, "it verifies what we sign, in tests alone"},
	"go.temporal.io/sdk/client": {[]string{
		"internal/flows", "internal/temporalclient", "internal/process", "internal/metrics", "cobrotest",
	}, "one client of the workflows; besides it only those that open a process, those that measure the SDK, and a kit that runs workflows in tests"},
	"go.temporal.io/server": {nil, "the Temporal server belongs to the module dev; a merchant never sees its dependencies"},
}

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,Deps", "./...")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	require.NoError(t, err)
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else {
			require.NoError(t, err)
		}
		all = append(all, p)
	}
}

// inside returns the path of an import inside this module.
func inside(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestArrowsGoOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name, _ := inside(p.ImportPath)
		layer, known := layers[name]
		if !known {
			t.Errorf("%q has no place in the import graph: add it to layers in layout_test.go, and to the picture in CONTRIBUTING.md", name)
			continue
		}
		for _, imported := range p.Imports {
			if target, ours := inside(imported); ours && !slices.Contains(layer.may, target) {
				t.Errorf("%s imports %s and must not: %s", name, target, layer.why)
			}
		}
	}
}

func TestDependenciesHaveOwners(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name, _ := inside(p.ImportPath)
		for dependency, owner := range owners {
			for _, imported := range p.Imports {
				if (imported == dependency || strings.HasPrefix(imported, dependency+"/")) && !slices.Contains(owner.only, name) {
					t.Errorf("%s imports %s and must not: %s", name, imported, owner.why)
				}
			}
		}
		for _, dep := range p.Deps {
			for _, never := range []string{"go.temporal.io/server", "github.com/getkin/kin-openapi"} {
				if strings.HasPrefix(dep, never+"/") {
					t.Errorf("%s links %s: %s", name, dep, owners[never].why)
				}
			}
		}
	}
}

func TestPackagesAreDocumentedOnce(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		docs := 0
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			require.NoError(t, err)
			if parsed.Doc != nil {
				docs++
			}
		}
		require.Equal(t, 1, docs, "%s has %d package comments; it needs exactly one", p.ImportPath, docs)
	}
}

// shy are names that say nothing about what is in a package.
var shy = []string{
	"util", "utils", "helper", "helpers", "common", "shared", "misc", "base", "core", "lib", "pkg", "models", "types",
	"entities", "dto", "interfaces", "services", "manager", "constants", "config", "mocks",
}

func TestPackagesAreNamedAfterWhatTheyHold(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		require.NotContains(t, shy, filepath.Base(p.ImportPath), "%s: choose a name that says what it is", p.ImportPath)
	}
}

func TestNoFloatsNearMoney(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"money", "payment", "athmovil", "athmovil/athmovilsim", "workflows", "activities", "internal/store", "internal/relay", "internal/djangoathm", "api"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for number, line := range strings.Split(string(source), "\n") {
				code, _, _ := strings.Cut(line, "//")
				for _, banned := range []string{"float64", "float32", "ParseFloat", "NewFromFloat"} {
					require.NotContains(t, code, banned, "%s:%d", file, number+1)
				}
			}
		}
	}
}

// public are the packages that a merchant imports.
var public = []string{
	"payment", "money", "private", "activities", "workflows", "worker", "cobrotest", "athmovil", "athmovil/athmovilsim",
}

// A merchant cannot name a type of an internal package, so no public package may
// ask for one or hand one out.
func TestPublicPackagesShowNoInternalTypes(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name, _ := inside(p.ImportPath)
		if !slices.Contains(public, name) {
			continue
		}
		for _, where := range internalTypes(t, p.Dir, p.GoFiles) {
			t.Errorf("package %s: %s, which a merchant cannot name", name, where)
		}
	}
}

// surface is what can be reached from outside a package.
type surface struct {
	types   map[string]declared   // every type of the package
	methods map[string][]declared // by the type of their receiver
	reached map[string]bool       // types that were walked
	found   []string              // where an internal type shows
}

// declared is a declaration with the imports of its file, by name.
type declared struct {
	imports map[string]string
	name    string
	expr    ast.Expr
}

// internalTypes returns where the exported declarations of a package show a type
// of an internal package: in fields, parameters, results, embedded types, and in
// unexported types that these name.
func internalTypes(t *testing.T, dir string, files []string) []string {
	t.Helper()
	s := surface{types: map[string]declared{}, methods: map[string][]declared{}, reached: map[string]bool{}}
	var roots []declared
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		roots = append(roots, s.declare(file)...)
	}
	for _, root := range roots {
		s.walk(root, root.expr)
	}
	slices.Sort(s.found)
	return s.found
}

// declare notes the types and methods of a file, and returns what it exports.
func (s *surface) declare(file *ast.File) (roots []declared) {
	imports := map[string]string{}
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := filepath.Base(path)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = path
	}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			one := declared{imports, d.Name.Name, d.Type}
			switch {
			case !d.Name.IsExported():
			case d.Recv == nil:
				roots = append(roots, one)
			default:
				receiver := receiverOf(d.Recv.List[0].Type)
				one.name = receiver + "." + one.name
				s.methods[receiver] = append(s.methods[receiver], one)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					s.types[spec.Name.Name] = declared{imports, spec.Name.Name, spec.Type}
					if spec.Name.IsExported() {
						roots = append(roots, declared{imports, spec.Name.Name, spec.Name})
					}
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						if name.IsExported() && spec.Type != nil {
							roots = append(roots, declared{imports, name.Name, spec.Type})
						}
					}
				}
			}
		}
	}
	return roots
}

// receiverOf returns the name of a method's type: T of T, *T, T[P] and *T[P].
func receiverOf(expr ast.Expr) string {
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

// walk follows a type expression of a declaration.
func (s *surface) walk(in declared, expr ast.Expr) {
	ast.Inspect(expr, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && strings.HasPrefix(in.imports[pkg.Name], module+"/internal/") {
				s.found = append(s.found, in.name+" shows "+pkg.Name+"."+n.Sel.Name)
			}
			return false
		case *ast.Ident:
			s.reach(n.Name)
		case *ast.Field: // of a struct, an interface or a function; its names are no types
			if n.Names == nil || slices.ContainsFunc(n.Names, (*ast.Ident).IsExported) {
				s.walk(in, n.Type)
			}
			return false
		case *ast.FuncType: // whose parameters may have any name, or none
			for _, list := range []*ast.FieldList{n.TypeParams, n.Params, n.Results} {
				if list == nil {
					continue
				}
				for _, field := range list.List {
					s.walk(in, field.Type)
				}
			}
			return false
		}
		return true
	})
}

// reach walks a type of the package and its exported methods, once.
func (s *surface) reach(name string) {
	one, ours := s.types[name]
	if !ours || s.reached[name] {
		return
	}
	s.reached[name] = true
	s.walk(one, one.expr)
	for _, method := range s.methods[name] {
		s.walk(method, method.expr)
	}
}

func TestTheRootModuleReplacesNothing(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	require.NotContains(t, string(source), "\nreplace", "who imports this module would not get the replacement")
}
