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

// serverUser runs the server if we are root, because PostgreSQL refuses to run as
// root.
const serverUser = "postgres"

// account returns the ids of the user that runs the server. It returns false if
// that is the current user.
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

// chownToServer gives a path to the server's user.
func chownToServer(path string) error {
	uid, gid, other, err := account()
	if err != nil || !other {
		return err
	}
	return os.Chown(path, uid, gid)
}

// runAsServer makes a command run as the server's user, in its own process group,
// so that Ctrl-C reaches only the test.
func runAsServer(command *exec.Cmd) error {
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
