//go:build unix

package seal

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives next the owner of the old file, so that the service can still
// read a file that root has changed.
func keepOwner(next *os.File, old fs.FileInfo) error {
	stat, ok := old.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return next.Chown(int(stat.Uid), int(stat.Gid))
}

// owner returns the user id of the file's owner.
func owner(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return os.Geteuid() // not a real file: apply the strict rule
	}
	return int(stat.Uid)
}
