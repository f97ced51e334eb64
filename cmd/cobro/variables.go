package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/cobropay/cobro/internal/settings"
)

// reads returns who a command is in the table of settings. The zero program reads
// none.
func reads(command string) (of settings.Program, known bool) {
	of, known = map[string]settings.Program{
		"api":                settings.API,
		"worker":             settings.Worker,
		"reconcile":          settings.Reconcile,
		"import django-athm": settings.Import,
		"receiver list":      settings.Deliveries, "receiver remove": settings.Deliveries, "notification redeliver": settings.Deliveries,
		"endpoint test":   settings.EndpointTest,
		"endpoint secret": 0,
		"migrate":         settings.Migrate,
		"keys":            settings.Keys, "keys create": settings.Keys, "keys add": settings.Keys, "keys use": settings.Keys, "keys list": settings.Keys,
		"config check": settings.Anyone,
		"doctor":       settings.Doctor,
		"healthcheck":  settings.Healthcheck,
		"review list":  settings.Review, "review resolve": settings.Review,
		"webhook subscribe": settings.Subscribe,
	}[command]
	return of, known
}

// helpWithVariables ends a command's help with its variables: those that it needs,
// and those that no flag shows.
func helpWithVariables(options kong.HelpOptions, at *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, at); err != nil || at.Selected() == nil {
		return err
	}
	var shown []string
	for _, flags := range at.Selected().AllFlags(true) {
		for _, flag := range flags {
			shown = append(shown, flag.Envs...)
		}
	}
	of, _ := reads(commandOf(at.Selected()))
	var list strings.Builder
	for _, s := range settings.Variables(of) {
		switch {
		case s.Needs&of != 0:
			fmt.Fprintf(&list, "  %s (required)\n      %s\n", s.Name, s.Help)
		case !slices.Contains(shown, s.Name):
			fmt.Fprintf(&list, "  %s\n      %s\n", s.Name, s.Help)
		}
	}
	if list.Len() == 0 {
		return nil
	}
	_, err := fmt.Fprintf(at.Stdout, "\nVariables:\n%s", list.String())
	return err
}

// commandOf returns a command as people type it, without the program's name.
func commandOf(node *kong.Node) string {
	_, command, _ := strings.Cut(node.FullPath(), " ")
	return command
}
