//go:build unix

package postgrestest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// PostgreSQL refuses to run as root. There, its own user runs it.
const serverUser = "postgres"

// account returns the ids of the user that runs the server, or false where that
// is whoever runs the test.
func account() (uid, gid int, other bool, err error) {
	if os.Getuid() != 0 {
		return 0, 0, false, nil
	}
	found, err := user.Lookup(serverUser)
	if err != nil {
		return 0, 0, false, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	if uid, err = strconv.Atoi(found.Uid); err != nil {
		return 0, 0, false, err
	}
	gid, err = strconv.Atoi(found.Gid)
	return uid, gid, true, err
}

// giveAway makes a path the server's.
func giveAway(path string) error {
	uid, gid, other, err := account()
	if err != nil || !other {
		return err
	}
	return os.Chown(path, uid, gid)
}

// asServer makes a command run as the server's user, in a process group of its
// own: an interrupt from the keyboard is the test's to handle.
func asServer(command *exec.Cmd) error {
	uid, gid, other, err := account()
	if err != nil {
		return err
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if other {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return nil
}
