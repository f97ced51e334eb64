package seal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/seal"
)

var today = time.Date(2026, 11, 25, 23, 59, 0, 0, time.UTC)

// loaded makes a key file and returns its path and a ring that follows it.
func loaded(t *testing.T) (string, *seal.Ring) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := seal.Create(path)
	require.NoError(t, err)
	return path, load(t, path)
}

func load(t *testing.T, path string) *seal.Ring {
	t.Helper()
	ring, err := seal.Load(path)
	require.NoError(t, err)
	return ring
}

func TestNewPrimarySealsAndOldKeysStillOpen(t *testing.T) {
	t.Parallel()
	path, ring := loaded(t)
	first := ring.PrimaryID()
	old, err := ring.Seal([]byte("787"), phones)
	require.NoError(t, err)
	digest := ring.Digest("phone", []byte("787"))

	added, err := seal.AddKey(path, today)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(added, "k-2026-11-25-"), added)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, first, load(t, path).PrimaryID(), "an added key is not the primary yet")

	require.NoError(t, seal.UseKey(path, added))
	after := load(t, path)
	require.Equal(t, added, after.PrimaryID())
	fresh, err := after.Seal([]byte("787"), phones)
	require.NoError(t, err)
	require.Contains(t, string(fresh), added)
	for _, sealed := range [][]byte{old, fresh} {
		plain, err := after.Open(sealed, phones)
		require.NoError(t, err)
		require.Equal(t, "787", string(plain))
	}
	require.Equal(t, digest, after.Digest("phone", []byte("787")), "rotation keeps digests")

	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no lock or temporary file is left behind")
}

func TestKeysListsIDsAndDates(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(path, file("2026-01", map[string]string{"2026-01": oldKey}), 0o600))
	later, err := seal.AddKey(path, today)
	require.NoError(t, err)
	earlier, err := seal.AddKey(path, today.AddDate(0, -1, 0))
	require.NoError(t, err)
	keys, err := seal.Keys(path)
	require.NoError(t, err)
	require.Equal(t, []seal.Key{
		{ID: "2026-01", Primary: true},
		{ID: earlier, Created: time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC)},
		{ID: later, Created: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)},
	}, keys)
}

func TestFailedChangeLeavesFileUnchanged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, path string)
		change  func(path string) error
		want    string
	}{
		"an unknown key": {
			func(*testing.T, string) {}, func(path string) error { return seal.UseKey(path, "k-typo") }, `no key "k-typo"`,
		},
		"another process is changing it": {
			func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path+".lock", nil, 0o600)) },
			func(path string) error { _, err := seal.AddKey(path, today); return err }, "remove ",
		},
		"other users can read it": {
			func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o644)) },
			func(path string) error { _, err := seal.AddKey(path, today); return err }, "chmod 600",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, _ := loaded(t)
			before, err := os.ReadFile(path)
			require.NoError(t, err)
			tt.prepare(t, path)
			require.ErrorContains(t, tt.change(path), tt.want)
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(before), string(after))
		})
	}
}

func TestRingFollowsItsFile(t *testing.T) {
	t.Parallel()
	path, ring := loaded(t)
	now := time.Now()
	ring.SetClock(func() time.Time { return now })
	first := ring.PrimaryID()
	added, err := seal.AddKey(path, today)
	require.NoError(t, err)
	require.NoError(t, seal.UseKey(path, added))

	require.Equal(t, first, ring.PrimaryID(), "it does not check the file on every call")
	now = now.Add(6 * time.Second)
	require.Equal(t, added, ring.PrimaryID())
	require.Equal(t, []string{first, added}, sorted(ring.KeyIDs(), first))
}

// sorted moves first to the front: ids of one day are in random order.
func sorted(ids []string, first string) []string {
	if ids[0] != first {
		ids[0], ids[1] = ids[1], ids[0]
	}
	return ids
}

// In each round one check of the file may be due, and many readers need the new
// key.
func TestUnknownKeyReloadsFileForEveryReader(t *testing.T) {
	t.Parallel()
	const rounds, readers = 50, 8
	path, ring := loaded(t)
	var clock atomic.Int64
	ring.SetClock(func() time.Time { return time.Unix(clock.Load(), 0) })
	for round := range rounds {
		added, err := seal.AddKey(path, today)
		require.NoError(t, err)
		require.NoError(t, seal.UseKey(path, added))
		sealed, err := load(t, path).Seal([]byte("787"), phones) // by a process that already has the new key
		require.NoError(t, err)

		clock.Add(int64(round % 7)) // sometimes too soon for the next check
		errs := make([]error, readers)
		var group sync.WaitGroup // waited for below
		for i := range errs {
			group.Go(func() { _, errs[i] = ring.Open(sealed, phones) })
		}
		group.Wait()
		require.NoError(t, errors.Join(errs...))
	}
}

func TestInvalidFileKeepsPreviousKeys(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"not JSON":           "oops",
		"another digest key": `{"primary":"a","keys":{"a":"` + oldKey + `"},"digest_key":"` + newKey + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, ring := loaded(t)
			var logged bytes.Buffer
			ring.SetLogger(slog.New(slog.NewTextHandler(&logged, nil)))
			sealed, err := ring.Seal([]byte("787"), phones)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			for range 2 {
				changed, err := ring.Refresh()
				require.Error(t, err)
				require.False(t, changed)
			}
			require.Equal(t, 1, strings.Count(logged.String(), "\n"), "one problem is logged once")
			require.NotContains(t, logged.String(), oldKey)
			plain, err := ring.Open(sealed, phones)
			require.NoError(t, err)
			require.Equal(t, "787", string(plain))
		})
	}
}
