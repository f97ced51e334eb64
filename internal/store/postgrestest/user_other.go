//go:build !unix

package postgrestest

import "os/exec"

func chownToServer(string) error { return ErrMissing }

func runAsServer(*exec.Cmd) error { return ErrMissing }
