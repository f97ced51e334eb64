package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
)

type configCommand struct {
	Check configCheck `cmd:"" help:"Print every setting with where it comes from, and every problem with what to do."`
}

type configCheck struct {
	For  string `enum:"api,worker,all" default:"all" help:"Whose settings: api, worker, or all."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*configCheck) Help() string {
	return "Reads the variables alone and connects to nothing: cobro doctor goes on from there. Secrets are never printed, only " +
		"whether they are set and roughly how long they are. Ends with code 1 where something keeps a program from running; " +
		"warnings do not."
}

// checked is what the command prints.
type checked struct {
	Settings []settings.Value   `json:"settings"`
	Problems []settings.Problem `json:"problems"`
}

func (c *configCheck) Run(p *program) error {
	of := map[string]settings.Program{"api": settings.API, "worker": settings.Worker, "all": settings.Everything}[c.For]
	found := checked{
		Settings: append(settings.Values(p.settings.getenv), temporalValues(p.getenv)...),
		Problems: neverNull(p.problems(of)),
	}
	if err := c.print(p.stdout, found); err != nil {
		return err
	}
	if settings.Join(found.Problems) != nil {
		return errTold
	}
	return nil
}

func (c *configCheck) print(w io.Writer, found checked) error {
	if c.JSON {
		return writeJSON(w, found)
	}
	table := newTable(w)
	fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	for _, v := range found.Settings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", v.Name, dash(v.Value), v.Source)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(found.Problems) == 0 {
		_, err := fmt.Fprintln(w, "\nno problems: cobro doctor checks what these settings lead to")
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s", settings.Describe(found.Problems))
	return err
}

// problems is everything that can be found without connecting to anything.
func (p *program) problems(of settings.Program) []settings.Problem {
	problems := settings.Check(of, p.settings.getenv, p.settings.all)
	add := func(name string, err error, do string) {
		if err != nil {
			problems = append(problems, settings.Problem{Setting: name, Problem: "does not serve: " + err.Error(), Do: do})
		}
	}
	if dsn := p.getenv("COBRO_STORE"); dsn != "" {
		add("COBRO_STORE", store.CheckDSN(dsn), "name a database as cobro migrate --help shows it")
	}
	if path := p.getenv("COBRO_KEY_FILE"); path != "" {
		_, err := seal.Load(path)
		add("COBRO_KEY_FILE", err, "let this program's user read the key ring that the database was written with; only for a new database make one: cobro keys --out "+path)
	}
	add("TEMPORAL_…", onlyTemporal(p.getenv), "fix the variable, or the profile that TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE name")
	return problems
}

// checkSettings returns what keeps a program from running, and logs the rest.
// effective are values that come from flags or a running dev as well.
func (p *program) checkSettings(of settings.Program, effective map[string]string) error {
	raw := p.settings.getenv
	overlaid := func(name string) string {
		if value, ok := effective[name]; ok && raw(name+"_FILE") == "" {
			return cmp.Or(raw(name), value)
		}
		return raw(name)
	}
	problems := settings.Check(of, overlaid, p.settings.all)
	for i, problem := range problems {
		if problem.Warning || problem.Misspelled {
			problems[i].Warning = true // a program for somebody else may read what is misspelled here
			p.logger.Warn("setting", "name", problem.Setting, "problem", problem.Problem, "do", problem.Do)
		}
	}
	return settings.Join(problems)
}

func onlyTemporal(getenv func(string) string) error {
	_, err := temporalclient.LoadOptions(getenv)
	return err
}

// temporalValues shows what the TEMPORAL_… variables and the profile come to.
func temporalValues(getenv func(string) string) []settings.Value {
	o, err := temporalclient.LoadOptions(getenv)
	if err != nil {
		return nil // which is a problem of its own
	}
	profile := ""
	if file := getenv("TEMPORAL_CONFIG_FILE"); file != "" || getenv("TEMPORAL_PROFILE") != "" {
		profile = "profile " + cmp.Or(getenv("TEMPORAL_PROFILE"), "default") + " of " + cmp.Or(file, "the default file")
	}
	show := func(name, value, otherwise string) settings.Value {
		switch {
		case value == "":
			return settings.Value{Name: name, Value: otherwise, Source: "default"}
		case getenv(name) != "" || profile == "":
			return settings.Value{Name: name, Value: value, Source: "environment"}
		default:
			return settings.Value{Name: name, Value: value, Source: profile}
		}
	}
	var key, tls string
	if o.Credentials != nil {
		key = "set"
	}
	if o.TLS != nil {
		tls = "on"
	}
	return []settings.Value{
		show("TEMPORAL_ADDRESS", o.Address, "127.0.0.1:7233"),
		show("TEMPORAL_NAMESPACE", o.Namespace, "default"),
		show("TEMPORAL_API_KEY", key, "not set"),
		show("TEMPORAL_TLS", tls, "off"),
	}
}

// neverNull makes an empty list [] in JSON, whatever it was made by.
func neverNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// newTable aligns lines of cells that end with tabs.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// dash stands for what is empty.
func dash(text string) string { return cmp.Or(text, "-") }

// writeJSON prints one value for machines.
func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return errors.Join(errors.New("print JSON"), err)
	}
	return nil
}
