package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

func TestEndpoint(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := cobro(t, nil, "endpoint", "secret")
	require.Zero(t, code, stderr)
	secret := strings.TrimSpace(stdout)
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	_, other, _ := cobro(t, nil, "endpoint", "secret")
	require.NotEqual(t, stdout, other)

	status := http.StatusOK
	var got payment.Notification
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if verifyErr := verifier.Verify(body, r.Header); verifyErr != nil {
			t.Errorf("verify: %v (read: %v)", verifyErr, err)
		}
		got = payment.Notification{}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Errorf("unmarshal: %v", err)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "thank \x1b[31myou\n")
	}))
	t.Cleanup(shop.Close)
	path := filepath.Join(t.TempDir(), "endpoints.yaml")
	write := func(private bool) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "allow_private_addresses: %t\nendpoints:\n"+
			"  - {name: shop, url: %q, secrets: [\"env:SHOP_SECRET\"]}\n"+
			"  - {name: books, url: %q, secrets: [\"env:SHOP_SECRET\"], events: [payment_expired]}\n",
			private, shop.URL, shop.URL), 0o600))
	}
	write(true)
	env := map[string]string{"COBRO_ENDPOINTS": path, "SHOP_SECRET": secret}

	for _, event := range append(payment.Events(), "") {
		args := []string{"endpoint", "test", "shop", "--event", string(event)}
		if event == "" {
			args, event = args[:3], payment.EventCompleted
		}
		code, stdout, stderr := cobro(t, env, args...)
		require.Zero(t, code, stderr)
		require.Equal(t, event, got.Event)
		require.True(t, strings.HasPrefix(got.ID, "ntf_test"), got.ID)
		require.Contains(t, stdout, "sent "+got.ID+" of "+string(event)+" to shop\nanswered 200 OK after ")
		require.Contains(t, stdout, "\n\nthank  [31myou\n")
	}
	code, _, stderr = cobro(t, env, "endpoint", "test", "books")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "never told of payment_completed")

	status = http.StatusUnauthorized
	code, stdout, stderr = cobro(t, env, "endpoint", "test", "shop")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "answered 401 Unauthorized")
	require.Contains(t, stdout, "thank")
	require.Contains(t, stderr, `cobro: endpoint "shop" answered 401: it may verify with another secret`)

	code, _, stderr = cobro(t, env, "endpoint", "test", "shops", "--endpoints", path)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, `has no endpoint "shops"; it has: shop, books`)

	code, _, stderr = cobro(t, env, "endpoint", "test", "shop", "--event", "paid")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "the events are payment_created")

	code, _, stderr = cobro(t, map[string]string{"COBRO_ENDPOINTS": path}, "endpoint", "test", "shop")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "the variable SHOP_SECRET is not set")

	write(false)
	code, _, stderr = cobro(t, env, "endpoint", "test", "shop")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "http is only for development")

	code, _, stderr = cobro(t, nil, "endpoint", "test", "shop")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "--endpoints")

	require.NoError(t, os.Remove(path))
	code, _, stderr = cobro(t, env, "endpoint", "test", "shop")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "no such file")
}
