package temporalclient_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/private"
)

const (
	oldKey = "b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZCA="
	newKey = "bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyA="
)

func ring(t *testing.T, primary, keys string) *seal.Ring {
	t.Helper()
	r, err := seal.Parse([]byte(`{"primary":"` + primary + `","keys":{` + keys + `},"digest_key":"` + oldKey + `"}`))
	require.NoError(t, err)
	return r
}

func TestPayloadsAreEncryptedAndRead(t *testing.T) {
	t.Parallel()
	type payer struct{ Phone string }
	data := temporalclient.NewDataConverter(ring(t, "old", `"old":"`+oldKey+`"`))
	tests := []struct {
		name  string
		value any
	}{
		{"struct", payer{Phone: canary}},
		{"text", canary},
		{"bytes", []byte(canary)},
		{"nothing", nil},
		{"message", &commonpb.WorkflowExecution{WorkflowId: canary}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			payload, err := data.ToPayload(tt.value)
			require.NoError(t, err)
			require.Equal(t, map[string][]byte{
				"encoding":          []byte("binary/encrypted"),
				"encryption-key-id": []byte("old"),
			}, payload.GetMetadata(), "nothing tells what is inside")
			require.NotContains(t, string(payload.GetData()), canary)
			if tt.value == nil {
				var got *payer
				require.NoError(t, data.FromPayload(payload, &got))
				require.Nil(t, got)
			}
		})
	}
	payload, err := data.ToPayload(payer{Phone: canary})
	require.NoError(t, err)
	var got payer
	require.NoError(t, data.FromPayload(payload, &got))
	require.Equal(t, payer{Phone: canary}, got)
}

func TestPayloadsSurviveKeyRotation(t *testing.T) {
	t.Parallel()
	before := temporalclient.NewDataConverter(ring(t, "old", `"old":"`+oldKey+`"`))
	after := temporalclient.NewDataConverter(ring(t, "new", `"old":"`+oldKey+`","new":"`+newKey+`"`))
	dropped := temporalclient.NewDataConverter(ring(t, "new", `"new":"`+newKey+`"`))

	payload, err := before.ToPayload(canary)
	require.NoError(t, err)
	var got string
	require.NoError(t, after.FromPayload(payload, &got))
	require.Equal(t, canary, got)
	require.ErrorIs(t, dropped.FromPayload(payload, &got), seal.ErrUnknownKey)

	payload, err = after.ToPayload(canary)
	require.NoError(t, err)
	require.Equal(t, "new", string(payload.GetMetadata()["encryption-key-id"]))
	payload.Data[len(payload.GetData())-1] ^= 1
	require.ErrorIs(t, after.FromPayload(payload, &got), seal.ErrTampered)
}

// Inside a workflow the SDK decodes with the converter from WithWorkflowContext.
// An error there would fail the workflow or lose a signal. dev/temporal tests what
// a panic does.
func TestMissingKeyPanicsInsideAWorkflow(t *testing.T) {
	t.Parallel()
	inside := func(r *seal.Ring) converter.DataConverter {
		aware, ok := temporalclient.NewDataConverter(r).(workflow.ContextAware)
		require.True(t, ok)
		return aware.WithContext(t.Context()).(workflow.ContextAware).WithWorkflowContext(nil)
	}
	old := inside(ring(t, "old", `"old":"`+oldKey+`"`))
	dropped := inside(ring(t, "new", `"new":"`+newKey+`"`))
	payloads, err := old.ToPayloads(canary)
	require.NoError(t, err)
	payload := payloads.GetPayloads()[0]
	var got string
	require.NoError(t, old.FromPayloads(payloads, &got))
	require.Equal(t, canary, got)

	const missing = `decrypt payload: seal: the ring does not hold the key "old": add it to the key file`
	require.PanicsWithError(t, missing, func() { _ = dropped.FromPayloads(payloads, &got) })
	require.PanicsWithError(t, missing, func() { _ = dropped.FromPayload(payload, &got) })
	payload.Data[len(payload.GetData())-1] ^= 1
	require.ErrorIs(t, old.FromPayload(payload, &got), seal.ErrTampered, "which waiting does not mend")
}

func TestPayloadInClearIsReadAsItIs(t *testing.T) {
	t.Parallel()
	payload, err := converter.GetDefaultDataConverter().ToPayload(canary)
	require.NoError(t, err)
	var got string
	require.NoError(t, temporalclient.NewDataConverter(ring(t, "old", `"old":"`+oldKey+`"`)).FromPayload(payload, &got))
	require.Equal(t, canary, got)
}

func TestFailuresAreEncryptedAndRead(t *testing.T) {
	t.Parallel()
	failures := temporalclient.NewFailureConverter(temporalclient.NewDataConverter(ring(t, "old", `"old":"`+oldKey+`"`)))
	failure := failures.ErrorToFailure(temporal.NewApplicationErrorWithCause(canary, "Declined", errors.New(canary), canary))
	require.NotContains(t, failure.String(), canary)
	require.Equal(t, "Declined", failure.GetApplicationFailureInfo().GetType(), "retry policies name it")

	err := failures.FailureToError(failure)
	require.ErrorContains(t, err, canary)
	var applicationError *temporal.ApplicationError
	require.ErrorAs(t, err, &applicationError)
	var details string
	require.NoError(t, applicationError.Details(&details))
	require.Equal(t, canary, details)
}

func TestCodecHandler(t *testing.T) {
	t.Parallel()
	const ui = "http://127.0.0.1:8233"
	keys := ring(t, "old", `"old":"`+oldKey+`"`)
	server := httptest.NewServer(http.StripPrefix("/codec", temporalclient.CodecHandler(keys, temporalclient.CodecAccess{Origins: []string{ui, "http://localhost:8233"}})))
	t.Cleanup(server.Close)

	encrypted, err := temporalclient.NewDataConverter(keys).ToPayloads(canary)
	require.NoError(t, err)
	body, err := protojson.Marshal(encrypted)
	require.NoError(t, err)
	foreign, err := temporalclient.NewDataConverter(ring(t, "new", `"new":"`+newKey+`"`)).ToPayloads(canary)
	require.NoError(t, err)
	foreignBody, err := protojson.Marshal(foreign)
	require.NoError(t, err)

	tests := []struct {
		name, method, path, origin, body string
		status                           int
		allowed                          string
	}{
		{"the UI asks first", http.MethodOptions, "/codec/decode", ui, "", http.StatusNoContent, ui},
		{"the UI decodes", http.MethodPost, "/codec/decode?preserveStorageRefs=true", ui, string(body), http.StatusOK, ui},
		{"the command line decodes", http.MethodPost, "/codec/decode", "", string(body), http.StatusOK, ""},
		{"a strange page asks first", http.MethodOptions, "/codec/decode", "https://evil.example", "", http.StatusForbidden, ""},
		{"a strange page decodes", http.MethodPost, "/codec/decode", "https://evil.example", string(body), http.StatusForbidden, ""},
		{"a page without an origin decodes", http.MethodPost, "/codec/decode", "null", string(body), http.StatusForbidden, ""},
		{"another port decodes", http.MethodPost, "/codec/decode", ui + "4", string(body), http.StatusForbidden, ""},
		{"a key we lack", http.MethodPost, "/codec/decode", ui, string(foreignBody), http.StatusBadRequest, ui},
		{"no payloads", http.MethodPost, "/codec/decode", ui, "{", http.StatusBadRequest, ui},
		{"reading", http.MethodGet, "/codec/decode", "", "", http.StatusNotFound, ""},
		{"elsewhere", http.MethodPost, "/codec/other", ui, string(body), http.StatusNotFound, ui},
		{"too large", http.MethodPost, "/codec/decode", ui, strings.Repeat(" ", 8<<20) + "{}", http.StatusRequestEntityTooLarge, ui},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+tt.path, strings.NewReader(tt.body))
			require.NoError(t, err)
			if tt.origin != "" {
				request.Header.Set("Origin", tt.origin)
			}
			response, err := server.Client().Do(request)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, response.Body.Close()) })
			require.Equal(t, tt.status, response.StatusCode)
			require.Equal(t, tt.allowed, response.Header.Get("Access-Control-Allow-Origin"))
			require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
			require.Equal(t, "Origin", response.Header.Get("Vary"))
			if tt.method == http.MethodOptions && tt.status == http.StatusNoContent {
				for _, header := range []string{"Authorization", "Authorization-Extras", "Content-Type", "X-Namespace"} {
					require.Contains(t, response.Header.Get("Access-Control-Allow-Headers"), header)
				}
			}
		})
	}

	t.Run("both ways", func(t *testing.T) {
		t.Parallel()
		remote := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: server.URL + "/codec"})
		through := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), remote)
		payload, err := through.ToPayload(canary)
		require.NoError(t, err)
		require.NotContains(t, string(payload.GetData()), canary)
		var got string
		require.NoError(t, through.FromPayload(payload, &got))
		require.Equal(t, canary, got)
	})

	t.Run("a body of unknown length is capped as well", func(t *testing.T) {
		t.Parallel()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/codec/decode", &endless{})
		require.NoError(t, err)
		response, err := server.Client().Do(request)
		if err == nil { // the server may also close the connection
			require.Equal(t, http.StatusBadRequest, response.StatusCode)
			require.NoError(t, response.Body.Close())
		}
	})
}

func TestCodecHandlerRequiresItsToken(t *testing.T) {
	t.Parallel()
	const token, ui = "codec-token-5f0c2a9d41", "https://temporal.example"
	keys := ring(t, "old", `"old":"`+oldKey+`"`)
	server := httptest.NewServer(http.StripPrefix("/codec", temporalclient.CodecHandler(keys, temporalclient.CodecAccess{
		Origins: []string{ui}, Token: private.NewToken(token),
	})))
	t.Cleanup(server.Close)
	encrypted, err := temporalclient.NewDataConverter(keys).ToPayloads(canary)
	require.NoError(t, err)
	body, err := protojson.Marshal(encrypted)
	require.NoError(t, err)
	bearer := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text) }
	}
	tests := []struct {
		name, method, path string
		present            func(*http.Request)
		status             int
	}{
		{"nothing", http.MethodPost, "/codec/decode", func(*http.Request) {}, http.StatusUnauthorized},
		{"a wrong token", http.MethodPost, "/codec/decode", bearer(token + "x"), http.StatusUnauthorized},
		{"an empty token", http.MethodPost, "/codec/decode", bearer(""), http.StatusUnauthorized},
		{"an empty password", http.MethodPost, "/codec/decode", func(r *http.Request) { r.SetBasicAuth(token, "") }, http.StatusUnauthorized},
		{"the token", http.MethodPost, "/codec/decode", bearer(token), http.StatusOK},
		{"the password", http.MethodPost, "/codec/decode", func(r *http.Request) { r.SetBasicAuth("anybody", token) }, http.StatusOK},
		{"encoding without it", http.MethodPost, "/codec/encode", func(*http.Request) {}, http.StatusUnauthorized},
		{"a browser asks first, without credentials", http.MethodOptions, "/codec/decode", func(*http.Request) {}, http.StatusNoContent},
		{"a person logs in", http.MethodGet, "/codec/", func(r *http.Request) { r.SetBasicAuth("", token) }, http.StatusOK},
		{"a person does not", http.MethodGet, "/codec/", func(*http.Request) {}, http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+tt.path, bytes.NewReader(body))
			require.NoError(t, err)
			request.Header.Set("Origin", ui)
			tt.present(request)
			response, err := server.Client().Do(request)
			require.NoError(t, err)
			answer, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, tt.status, response.StatusCode)
			require.Equal(t, ui, response.Header.Get("Access-Control-Allow-Origin"), "or the UI could not say why")
			require.NotContains(t, string(answer), token)
			if tt.status == http.StatusUnauthorized {
				require.Contains(t, response.Header.Get("WWW-Authenticate"), "Basic")
			}
		})
	}
}

// endless never ends.
type endless struct{}

func (*endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
