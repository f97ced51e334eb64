package cobro_test

import (
	"bytes"
	"encoding/json"
	"errors"
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
	"private":                          {nil, "a leaf: everything may wrap a secret"},
	"money":                            {nil, "a leaf: amounts know nothing else"},
	"payment":                          {[]string{"money", "private"}, "the domain is pure"},
	"athmovil":                         {[]string{"money", "private"}, "a library that a stranger imports"},
	"athmovil/athmovilsim":             {nil, "a stranger to the client on purpose: shared structs would make both wrong together"},
	"activities":                       {[]string{"payment", "athmovil", "money", "private", "internal/failpoint", "internal/outbound"}, "side effects of the domain; stores come in through interfaces"},
	"workflows":                        {[]string{"activities", "payment", "athmovil", "money", "private"}, "decisions only: what is not deterministic is an activity"},
	"internal/failpoint":               {nil, "a leaf"},
	"internal/outbound":                {[]string{"payment", "money", "private"}, "a client of merchants' endpoints; it knows nothing of Temporal"},
	"internal/seal":                    {[]string{"private"}, "a leaf: keys know nothing of what they seal"},
	"internal/engine":                  {[]string{"private", "internal/seal"}, "Temporal options for every program; a key that is missing is no answer for a workflow"},
	"internal/telemetry":               {nil, "a leaf"},
	"internal/telemetry/telemetrytest": {nil, "a leaf: tests read logs with it"},
	"internal/metrics":                 {[]string{"payment", "athmovil", "internal/store"}, "measures the domain, the gateway's client and the store, from outside"},
	"internal/tracing":                 {[]string{"athmovil"}, "makes spans for whoever composes a process"},
	"internal/operations":              {nil, "a leaf: health and metrics of any process"},
	"internal/settings":                {[]string{"private"}, "a leaf: it knows the variables of every program, and none of the programs"},
	"internal/doctor": {[]string{
		"athmovil", "private", "internal/store", "internal/engine", "internal/seal", "internal/settings",
	}, "looks at everything that an installation needs, and changes nothing"},
	"internal/djangoathm": {[]string{"athmovil", "payment", "money", "private"}, "pure: a dump of another system goes in, the domain's records come out"},
	"internal/ledger":     {[]string{"payment", "money", "private"}, "pure: what is kept and how it is asked for, without a database"},
	"internal/flows":      {nil, "a leaf: what Temporal said, for those who must not know Temporal"},
	"internal/relay": {[]string{"athmovil", "payment", "private", "workflows", "internal/failpoint", "internal/flows", "internal/ledger"},
		"gateway events without HTTP: the store and the workflows come in through interfaces"},
	"internal/orders":             {[]string{"payment", "workflows"}, "people's orders on their way to the workflows"},
	"internal/store":              {[]string{"payment", "money", "private"}, "satisfies interfaces that its users declare"},
	"internal/store/postgrestest": {nil, "starts a server for tests; it knows no tables"},
	"internal/store/storetest":    {[]string{"internal/store", "payment", "money", "private"}, "the conformance suite of every database"},
	"worker": {[]string{
		"workflows", "activities", "athmovil", "payment", "private", "internal/store", "internal/engine", "internal/outbound", "internal/seal", "internal/telemetry", "internal/orders",
		"internal/metrics", "internal/tracing", "internal/operations", "internal/settings",
	}, "composes one process for a merchant, who needs nothing from internal"},
	"api": {[]string{
		"workflows", "activities", "payment", "athmovil", "money", "private", "internal/failpoint", "internal/flows", "internal/orders", "internal/operations", "internal/relay",
	}, "HTTP only: stores and Temporal come in through interfaces"},
	"internal/serve": {[]string{
		"api", "workflows", "payment", "private", "internal/store", "internal/engine", "internal/seal", "internal/telemetry",
		"internal/metrics", "internal/tracing", "internal/operations", "internal/relay",
	}, "composes the API's process for cmd and dev"},
	"cmd/cobro":        {[]string{"worker", "payment", "internal/serve", "internal/store", "internal/telemetry", "internal/tracing", "internal/engine", "internal/outbound", "internal/seal", "internal/djangoathm", "internal/doctor", "internal/settings", "athmovil", "private", "workflows"}, "flags and wiring"},
	"cmd/athmovil-sim": {[]string{"athmovil/athmovilsim", "internal/telemetry"}, "flags and wiring"},
	"cobrotest": {[]string{
		"worker", "workflows", "activities", "payment", "money", "private", "athmovil", "athmovil/athmovilsim", "internal/store", "internal/seal",
	}, "composes a whole installation for a merchant's tests, who need nothing from internal"},
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
	"github.com/wneessen/go-mail":   {[]string{"examples/receipts"}, "Cobro writes to nobody; a merchant does"},
	"github.com/pressly/goose/v3":   {[]string{"internal/store"}, "only the store migrates"},
	"github.com/alecthomas/kong":    {[]string{"cmd/cobro", "cmd/athmovil-sim"}, "flags belong to programs"},
	"go.yaml.in/yaml/v3":            {[]string{"internal/outbound"}, "only the endpoints file is YAML"},
	"code.dny.dev/ssrf":             {[]string{"internal/outbound"}, "only what a merchant names needs the guard"},
	"github.com/standard-webhooks":  {[]string{"internal/outbound"}, "one place signs"},
	"github.com/getkin/kin-openapi": {nil, "it holds the API's tests to openapi.yaml; no program validates what it says itself"},
	"github.com/resend/resend-go":   {nil, "it verifies what we sign, in tests alone"},
	"go.temporal.io/server":         {nil, "the Temporal server belongs to the module dev; a merchant never sees its dependencies"},
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
			t.Errorf("%q has no place in the import graph: add it to layers in layout_test.go, and to the README's picture", name)
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

func TestTheRootModuleReplacesNothing(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	require.NotContains(t, string(source), "\nreplace", "who imports this module would not get the replacement")
}
