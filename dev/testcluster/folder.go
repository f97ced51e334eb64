package testcluster

import (
	"os"
	"testing"
)

// Folder returns an empty folder for a system. It is removed when the test has
// passed, unless keep is true or the test failed.
func Folder(t testing.TB, keep bool) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "cobro-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() || keep {
			t.Logf("kept %s", folder)
			return
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}
