// Package commandline has what the command lines of all programs obey: a flag or
// a variable that is set to nothing is not set, and its default counts. To kong
// alone both are values, such as an address that is every address of the machine.
package commandline

import (
	"errors"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// New returns a parser whose help shows each flag's variable. Variables are read
// by the resolver and by nothing else: kong would read those of the process.
func New(cli any, variables kong.Resolver, options ...kong.Option) (*kong.Kong, error) {
	parser, err := kong.New(cli, append([]kong.Option{kong.ValueFormatter(withVariable), kong.Resolvers(variables)}, options...)...)
	if err != nil {
		return nil, err
	}
	return parser, kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			flag.Tag.Envs = nil // and not flag.Envs, which the resolver and the help read
		}
		return next(nil)
	})
}

// Variables resolves flags from their variables.
func Variables(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if value := getenv(name); value != "" {
				return value, nil
			}
		}
		return nil, nil //nolint:nilnil // kong's way to say that this resolver knows nothing of the flag
	})
}

// Parse parses a command line without the flags that are given nothing, such as
// --listen "". Missing flags are reported with their variables.
func Parse(parser *kong.Kong, args []string) (*kong.Context, error) {
	parsed, err := parser.Parse(withoutEmpty(parser, args))
	parsing, ok := errors.AsType[*kong.ParseError](err)
	if !ok || !strings.HasPrefix(err.Error(), "missing flags: ") {
		return parsed, err
	}
	var names []string
	for _, flag := range parsing.Context.Flags() {
		if flag.Required && !flag.Set {
			name := "--" + flag.Name
			if len(flag.Envs) > 0 {
				name += " (or " + strings.Join(flag.Envs, ", ") + ")"
			}
			names = append(names, name)
		}
	}
	return parsed, &missing{parsing, "missing flags: " + strings.Join(names, ", ")}
}

// missing says more than kong of flags that are missing.
type missing struct {
	parsing *kong.ParseError
	text    string
}

func (m *missing) Error() string { return m.text }
func (m *missing) Unwrap() error { return m.parsing }

func withoutEmpty(parser *kong.Kong, args []string) []string {
	takesValue := map[string]bool{}
	_ = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error { // the visitor returns no error
		if flag, ok := node.(*kong.Flag); ok && !flag.IsBool() {
			takesValue["--"+flag.Name] = true
		}
		return next(nil)
	})
	end := len(args)
	if at := slices.Index(args, "--"); at >= 0 {
		end = at
	}
	var kept []string
	for i := 0; i < end; i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case joined && value == "" && takesValue[name]:
		case takesValue[args[i]] && i+1 < end && args[i+1] == "":
			i++
		default:
			kept = append(kept, args[i])
		}
	}
	return append(kept, args[end:]...)
}

// withVariable shows a flag's variable in the help.
func withVariable(value *kong.Value) string {
	if value.Flag == nil || len(value.Flag.Envs) == 0 {
		return value.Help
	}
	return strings.TrimSuffix(value.Help, ".") + " ($" + strings.Join(value.Flag.Envs, ", $") + ")."
}
