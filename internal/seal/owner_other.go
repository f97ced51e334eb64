//go:build !unix

package seal

import (
	"io/fs"
	"os"
)

// keepOwner does nothing: this system has no numeric file owners.
func keepOwner(*os.File, fs.FileInfo) error { return nil }

// owner returns -1 for the same reason.
func owner(fs.FileInfo) int { return -1 }
