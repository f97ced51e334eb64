//go:build !unix

package postgrestest

import "os/exec"

func giveAway(string) error { return ErrMissing }

func asServer(*exec.Cmd) error { return ErrMissing }
