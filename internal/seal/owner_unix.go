//go:build unix

package seal

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives the next file to the owner of the one before, so that what
// root changes stays readable for the service.
func keepOwner(next *os.File, was fs.FileInfo) error {
	stat, ok := was.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return next.Chown(int(stat.Uid), int(stat.Gid))
}

// owner is the number of the user who owns a file.
func owner(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return os.Geteuid() // it is no file; the strict rule holds
	}
	return int(stat.Uid)
}
