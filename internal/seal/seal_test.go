package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/private"
)

const (
	oldKey    = "b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZCA="
	newKey    = "bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyA="
	digestKey = "ZGlnZXN0IGRpZ2VzdCBkaWdlc3QgZGlnZXN0IGRpZ2U="

	// sealedBefore is "787-555-1234", sealed with oldKey under the id "a".
	sealedBefore = "01016152e009a8eebdca6ceb02d6a357efbd4c72013649c2f2850d4e1fe463d45a188be9f25e5d3dbc51bb"
)

var phones = []byte("payments.phone")

func TestOpenReturnsSealedValue(t *testing.T) {
	t.Parallel()
	ring := fresh(t)
	tests := []struct {
		name           string
		plain, context []byte
	}{
		{"text", []byte("787-555-1234"), phones},
		{"nothing", nil, phones},
		{"no context", []byte("x"), nil},
		{"every byte", everyByte(), everyByte()},
		{"large", bytes.Repeat([]byte{7}, 1<<20), phones},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sealed, err := ring.Seal(tt.plain, tt.context)
			require.NoError(t, err)
			got, err := ring.Open(sealed, tt.context)
			require.NoError(t, err)
			require.True(t, bytes.Equal(tt.plain, got))
		})
	}
}

// Stored values outlive the release that sealed them.
func TestOpenReadsValueOfEarlierRelease(t *testing.T) {
	t.Parallel()
	sealed, err := hex.DecodeString(sealedBefore)
	require.NoError(t, err)
	plain, err := parse(t, "a", map[string]string{"a": oldKey}).Open(sealed, phones)
	require.NoError(t, err)
	require.Equal(t, "787-555-1234", string(plain))
}

func TestSealingTwiceGivesDifferentBytes(t *testing.T) {
	t.Parallel()
	ring := fresh(t)
	first, err := ring.Seal([]byte("787-555-1234"), phones)
	require.NoError(t, err)
	second, err := ring.Seal([]byte("787-555-1234"), phones)
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	require.NotContains(t, string(first), "555")
}

func TestRotationKeepsOldValuesReadable(t *testing.T) {
	t.Parallel()
	before := parse(t, "old", map[string]string{"old": oldKey})
	during := parse(t, "new", map[string]string{"old": oldKey, "new": newKey})
	after := parse(t, "new", map[string]string{"new": newKey})

	byOld, err := before.Seal([]byte("787"), phones)
	require.NoError(t, err)
	byNew, err := during.Seal([]byte("939"), phones)
	require.NoError(t, err)

	tests := []struct {
		name   string
		ring   *seal.Ring
		sealed []byte
		want   string
		err    error
	}{
		{"old before", before, byOld, "787", nil},
		{"old during", during, byOld, "787", nil},
		{"old after", after, byOld, "", seal.ErrUnknownKey},
		{"new before", before, byNew, "", seal.ErrUnknownKey},
		{"new during", during, byNew, "939", nil},
		{"new after", after, byNew, "939", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.ring.Open(tt.sealed, phones)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, string(got))
		})
	}
	require.Equal(t, "new", during.PrimaryID())
	require.Equal(t, []string{"new", "old"}, during.KeyIDs())
	require.Equal(t, before.Digest("p", []byte("x")), after.Digest("p", []byte("x")), "rotation keeps digests")
	_, err = after.Open(byOld, phones)
	require.ErrorContains(t, err, `"old"`)
}

func TestOpenDetectsEveryChangedBit(t *testing.T) {
	t.Parallel()
	ring := parse(t, "a", map[string]string{"a": oldKey, "b": newKey})
	sealed, err := ring.Seal([]byte("787-555-1234"), phones)
	require.NoError(t, err)
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			_, err := ring.Open(changed, phones)
			require.Error(t, err, "byte %d, bit %d", i, bit)
		}
		_, err := ring.Open(sealed[:i], phones)
		require.ErrorIs(t, err, seal.ErrTampered, "truncated to %d bytes", i)
	}
	_, err = ring.Open(append(bytes.Clone(sealed), 0), phones)
	require.ErrorIs(t, err, seal.ErrTampered)
}

func TestOpenNeedsTheSameContext(t *testing.T) {
	t.Parallel()
	ring := fresh(t)
	sealed, err := ring.Seal([]byte("787"), phones)
	require.NoError(t, err)
	for _, context := range []string{"", "payments.name", "payments.phone ", "payments.phon"} {
		_, err := ring.Open(sealed, []byte(context))
		require.ErrorIs(t, err, seal.ErrTampered, "context %q", context)
	}
}

func TestOpenFailsWithDifferentKeyOfSameID(t *testing.T) {
	t.Parallel()
	sealed, err := parse(t, "a", map[string]string{"a": oldKey}).Seal([]byte("787"), phones)
	require.NoError(t, err)
	_, err = parse(t, "a", map[string]string{"a": newKey}).Open(sealed, phones)
	require.ErrorIs(t, err, seal.ErrTampered)
}

func TestZeroRingReturnsError(t *testing.T) {
	t.Parallel()
	_, err := new(seal.Ring).Seal([]byte("787"), phones)
	require.ErrorContains(t, err, "empty")
}

func TestDigestDependsOnKeyPurposeAndData(t *testing.T) {
	t.Parallel()
	ring := fresh(t)
	digest := ring.Digest("customers.phone", []byte("7875551234"))
	require.Len(t, digest, 64)
	require.Equal(t, digest, ring.Digest("customers.phone", []byte("7875551234")))
	require.NotEqual(t, digest, ring.Digest("customers.phone", []byte("7875551235")))
	require.NotEqual(t, digest, ring.Digest("payments.phone", []byte("7875551234")))
	require.NotEqual(t, digest, fresh(t).Digest("customers.phone", []byte("7875551234")), "a different key")
	require.NotEqual(t, ring.Digest("ab", []byte("c")), ring.Digest("a", []byte("bc")), "purpose and data do not run together")
}

func TestRingNeverPrintsItsKeys(t *testing.T) {
	t.Parallel()
	ring := parse(t, "a", map[string]string{"a": oldKey})
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("loaded", "ring", ring)
	//lint:ignore SA9005 the test is that the JSON is empty
	asJSON, err := json.Marshal(ring)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		require.Equal(t, private.Mark, fmt.Sprintf(verb, ring), verb)
		require.Equal(t, private.Mark, fmt.Sprintf(verb, *ring), verb)
	}
	require.Contains(t, log.String(), private.Mark)
	for _, secret := range []string{oldKey, "old old", digestKey} {
		require.NotContains(t, log.String(), secret)
		require.NotContains(t, string(asJSON), secret)
	}
}

func TestRingIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	ring := fresh(t)
	var group sync.WaitGroup // waited for below
	for i := range 8 {
		group.Go(func() {
			plain := fmt.Appendf(nil, "payer %d", i)
			for range 100 {
				sealed, err := ring.Seal(plain, phones)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := ring.Open(sealed, phones)
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("got %q, %v", got, err)
				}
				ring.Digest("p", got)
			}
		})
	}
	group.Wait()
}

func FuzzOpen(f *testing.F) {
	ring, err := seal.Parse(file("a", map[string]string{"a": oldKey}))
	require.NoError(f, err)
	sealed, err := hex.DecodeString(sealedBefore)
	require.NoError(f, err)
	f.Add(sealed, phones)
	f.Add([]byte{}, []byte{})
	f.Add([]byte{1}, phones)
	f.Add([]byte{1, 255, 'a'}, phones)
	f.Add([]byte{1, 1, 'a'}, phones)
	f.Add([]byte{1, 0}, phones)
	f.Fuzz(func(t *testing.T, data, context []byte) {
		plain, err := ring.Open(data, context)
		if err == nil {
			require.Equal(t, sealed, data, "opened a value that was never sealed")
			require.Equal(t, "787-555-1234", string(plain))
		}
	})
}

func fresh(t *testing.T) *seal.Ring {
	t.Helper()
	ring, err := seal.New()
	require.NoError(t, err)
	return ring
}

func parse(t *testing.T, primary string, keys map[string]string) *seal.Ring {
	t.Helper()
	ring, err := seal.Parse(file(primary, keys))
	require.NoError(t, err)
	return ring
}

func file(primary string, keys map[string]string) []byte {
	data, _ := json.Marshal(map[string]any{"primary": primary, "keys": keys, "digest_key": digestKey})
	return data
}

func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func base64Of(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
