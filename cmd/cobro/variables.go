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
	switch command {
	case "api":
		return settings.API, true
	case "worker":
		return settings.Worker, true
	case "reconcile":
		return settings.Reconcile, true
	case "import django-athm":
		return settings.Import, true
	case "receiver list", "receiver remove", "notification redeliver":
		return settings.Deliveries, true
	case "endpoint test":
		return settings.EndpointTest, true
	case "endpoint secret":
		return 0, true
	case "migrate":
		return settings.Migrate, true
	case "keys", "keys create", "keys add", "keys use", "keys list":
		return settings.Keys, true
	case "config check":
		return settings.Anyone, true
	case "doctor":
		return settings.Doctor, true
	case "healthcheck":
		return settings.Healthcheck, true
	case "review list", "review resolve":
		return settings.Review, true
	case "webhook subscribe":
		return settings.Subscribe, true
	default:
		return 0, false
	}
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
