package private_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/private"
)

const canary = "canary-7875551234"

func TestPrintShowsOnlyTheMark(t *testing.T) {
	t.Parallel()
	type nested struct {
		Phone private.Text
		Token private.Token
		List  []private.Text
	}
	value := nested{canary, private.NewToken(canary), []private.Text{canary}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		require.NotContains(t, fmt.Sprintf(verb, value), canary, verb)
		require.NotContains(t, fmt.Sprintf(verb, value), fmt.Sprintf("%x", canary), verb)
		require.Contains(t, fmt.Sprintf(verb, &value), private.Mark, verb)
	}
	require.Empty(t, fmt.Sprint(private.Text("")), "an empty text has nothing to hide")
}

func TestLogsShowOnlyTheMark(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("seen", "phone", private.Text(canary), "token", private.NewToken(canary))
	}
	require.NotContains(t, out.String(), canary)
	require.Contains(t, out.String(), private.Mark)
}

func TestJSONCarriesTextButNoToken(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(private.Text(canary))
	require.NoError(t, err)
	require.JSONEq(t, `"`+canary+`"`, string(got))

	_, err = json.Marshal(map[string]any{"token": private.NewToken(canary)})
	require.ErrorIs(t, err, private.ErrMarshal)
	require.NotContains(t, err.Error(), canary)
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{"": "", canary: canary, canary + "\n": canary, canary + "\r\n": canary, " a\n\n": " a\n"} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		got, err := private.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, want, got.Reveal())
	}
	_, err := private.ReadFile("/dev/zero")
	require.EqualError(t, err, "/dev/zero is larger than 65536 bytes")
	_, err = private.ReadFile(path + "-not-there")
	require.ErrorIs(t, err, os.ErrNotExist)
}
