package seal_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/seal"
)

func TestLoadReadsCreatedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	created, err := seal.Create(path)
	require.NoError(t, err)

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	loaded, err := seal.Load(path)
	require.NoError(t, err)
	require.Equal(t, []string{created.PrimaryID()}, loaded.KeyIDs())
	sealed, err := created.Seal([]byte("787"), phones)
	require.NoError(t, err)
	plain, err := loaded.Open(sealed, phones)
	require.NoError(t, err)
	require.Equal(t, "787", string(plain))
	require.Equal(t, created.Digest("p", nil), loaded.Digest("p", nil))
}

func TestCreateNeverReplacesFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err := seal.Create(path)
	require.ErrorIs(t, err, fs.ErrExist)
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "precious", string(kept))

	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file with a key is left behind")
}

func TestConcurrentLoadOrCreateReturnsSameRing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	ids := make([]string, 8)
	var group sync.WaitGroup // waited for below
	for i := range ids {
		group.Go(func() {
			ring, err := seal.LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = ring.PrimaryID()
		})
	}
	group.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
}

func TestLoadRejectsFileOthersCanAccess(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{0o604, 0o640, 0o620, 0o602, 0o601, 0o644, 0o777} {
		t.Run(fmt.Sprintf("%04o", mode), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keys.json")
			_, err := seal.Create(path)
			require.NoError(t, err)
			require.NoError(t, os.Chmod(path, mode))
			_, err = seal.Load(path)
			require.ErrorContains(t, err, "chmod 600 "+path)
			_, err = seal.LoadOrCreate(path)
			require.ErrorContains(t, err, "chmod 600 "+path)
		})
	}
}

func TestRootFileMayBeGroupReadable(t *testing.T) {
	t.Parallel()
	const root, service, other = 0, 65532, 1000
	for _, tt := range []struct {
		owner, self int
		want        fs.FileMode
	}{
		{root, service, 0o640},
		{root, root, 0o600},
		{service, service, 0o600},
		{other, service, 0o600},
		{other, root, 0o600},
	} {
		require.Equal(t, tt.want, seal.MaxMode(tt.owner, tt.self), "owned by %d, read by %d", tt.owner, tt.self)
	}
}

// TestLoadReadsKubernetesSecret runs itself as the user of the container image,
// which is in the group of a mounted secret.
func TestLoadReadsKubernetesSecret(t *testing.T) {
	t.Parallel()
	if path := os.Getenv(mountedFile); path != "" {
		_, err := seal.Load(path)
		if want := os.Getenv(mountedError); want != "" {
			require.ErrorContains(t, err, want)
		} else {
			require.NoError(t, err)
		}
		return
	}
	asImage := asUser(t, 65532)
	for mode, wantError := range map[fs.FileMode]string{
		0o440: "", // a secret with fsGroup
		0o640: "",
		0o444: "chmod 640",
		0o660: "chmod 640",
	} {
		t.Run(fmt.Sprintf("%04o", mode), func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "keys")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
			require.NoError(t, os.Chmod(dir, 0o755))
			path := filepath.Join(dir, "keys.json")
			_, err = seal.Create(path)
			require.NoError(t, err)
			require.NoError(t, os.Chown(path, 0, 65532))
			require.NoError(t, os.Chmod(path, mode))
			output, err := asImage(t, mountedFile+"="+path, mountedError+"="+wantError)
			require.NoError(t, err, output)
			require.Contains(t, output, "--- PASS")
		})
	}
}

// Variables of the child process of TestLoadReadsKubernetesSecret.
const (
	mountedFile  = "COBRO_TEST_MOUNTED_FILE"
	mountedError = "COBRO_TEST_MOUNTED_ERROR"
)

func TestLoadWithoutFileReturnsErrNotExist(t *testing.T) {
	t.Parallel()
	_, err := seal.Load(filepath.Join(t.TempDir(), "keys.json"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = seal.LoadOrCreate(filepath.Join(t.TempDir(), "missing", "keys.json"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestLoadRejectsHugeFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(path, make([]byte, 2<<20), 0o600))
	_, err := seal.Load(path)
	require.ErrorContains(t, err, "larger")
}

func TestParseRejectsInvalidFile(t *testing.T) {
	t.Parallel()
	keys := func(id, key string) map[string]string { return map[string]string{id: key} }
	tests := []struct {
		name string
		data string
		want []string
	}{
		{"nothing", "", []string{"unexpected end"}},
		{"truncated", `{"primary":"a"`, []string{"unexpected end"}},
		{"not JSON", "key=" + oldKey, []string{"byte 1"}},
		{"not an object", `"` + oldKey + `"`, []string{"the document is a JSON string"}},
		{"two objects", string(file("a", keys("a", oldKey))) + "{}", []string{"more data"}},
		{"unknown field", `{"primray":"a"}`, []string{"needs the fields primary"}},
		{"wrong type", `{"primary":7}`, []string{"primary is a JSON number"}},
		{"not base64", string(file("a", keys("a", "%%%"+oldKey))), []string{"in base64"}},
		{"short key", string(file("a", keys("a", base64Of(16)))), []string{`key "a" has 16 bytes, not 32`}},
		{"bad id", string(file("a b", keys("a b", oldKey))), []string{`key id "a b"`}},
		{"long id", string(file("a", keys(strings.Repeat("a", 65), oldKey))), []string{"1 to 64 letters"}},
		{"empty id", string(file("", keys("", oldKey))), []string{`key id ""`}},
		{"everything missing", "{}", []string{`primary ""`, "digest_key has 0 bytes"}},
		{"no primary", string(file("b", keys("a", oldKey))), []string{`primary "b" is not among the keys`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := seal.Parse([]byte(tt.data))
			require.Error(t, err)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), oldKey, "an error never quotes a key")
		})
	}
}
