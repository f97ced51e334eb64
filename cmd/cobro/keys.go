package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cobropay/cobro/internal/seal"
)

type keysCommand struct {
	Create keysCreate `cmd:"" default:"withargs" help:"Make a key ring."`
	Add    keysAdd    `cmd:"" help:"Add a key that reads, and writes nothing yet."`
	Use    keysUse    `cmd:"" help:"Let a key write from now on; the others go on reading."`
	List   keysList   `cmd:"" help:"List the keys, and never what they are made of."`
}

func (*keysCommand) Help() string {
	return "To change the key that writes: add a key, let every process have the changed file, then use the key, and let every " +
		"process have the file again. Processes read a changed file within five seconds, without a restart. Keep the old keys " +
		"for as long as anything they sealed is kept. docs/operations.md has the whole procedure."
}

type keysCreate struct {
	Out  string `required:"" env:"COBRO_KEY_FILE" help:"File to make; one that exists is never overwritten."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *keysCreate) Run(p *program) error {
	ring, err := seal.Create(c.Out)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; cobro keys add --key-file %s adds a key", c.Out, c.Out)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(p.stdout, keysChanged{File: c.Out, ID: ring.PrimaryID(), Writes: true})
	}
	_, err = fmt.Fprintf(p.stdout, "made %s: keep a copy where the database's backup is not; without it nothing encrypted can be read\n", c.Out)
	return err
}

// keysChanged is what a change prints as JSON.
type keysChanged struct {
	File   string `json:"file"`
	ID     string `json:"id"`
	Writes bool   `json:"writes"`
}

// keyFile is the file that a command is about.
type keyFile struct {
	KeyFile string `required:"" env:"COBRO_KEY_FILE" help:"${COBRO_KEY_FILE_help}"`
	JSON    bool   `name:"json" help:"Print JSON."`
}

type keysAdd struct{ keyFile }

func (c *keysAdd) Run(p *program) error {
	id, err := seal.AddKey(c.KeyFile, time.Now())
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(p.stdout, keysChanged{File: c.KeyFile, ID: id})
	}
	_, err = fmt.Fprintf(p.stdout, "added %s to %s: it reads, and writes nothing yet. Keep a copy of the file, let every api and worker have it, "+
		"and run:\n\n  cobro keys use %s\n", id, c.KeyFile, id)
	return err
}

type keysUse struct {
	ID string `arg:"" help:"The key's id."`
	keyFile
}

func (c *keysUse) Run(p *program) error {
	if err := seal.UseKey(c.KeyFile, c.ID); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(p.stdout, keysChanged{File: c.KeyFile, ID: c.ID, Writes: true})
	}
	_, err := fmt.Fprintf(p.stdout, "%s writes from now on; processes that have the file notice within five seconds. "+
		"The other keys go on reading: keep them\n", c.ID)
	return err
}

type keysList struct{ keyFile }

func (c *keysList) Run(p *program) error {
	keys, err := seal.Keys(c.KeyFile)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(p.stdout, map[string]any{"file": c.KeyFile, "keys": keys})
	}
	table := newTable(p.stdout)
	fmt.Fprintln(table, "KEY\tCREATED\tWRITES")
	for _, key := range keys {
		created, writes := "-", "-"
		if !key.Created.IsZero() {
			created = key.Created.Format(time.DateOnly)
		}
		if key.Primary {
			writes = "yes"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", key.ID, created, writes)
	}
	return table.Flush()
}
