package rig

import (
	"os"
	"testing"
)

// Folder returns an empty folder for a system. It is removed when the test has
// passed, unless it is to be kept; where the test failed it is kept for a look.
func Folder(t testing.TB, keep bool) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "cobro-rig-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() || keep {
			t.Logf("kept for a look: %s", folder)
			return
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}
