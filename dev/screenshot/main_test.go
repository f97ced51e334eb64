package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The page of a payment comes in pieces: at first it has no events, then
// ciphertext where the input is, and summaries that are empty frames.
func TestAPictureIsOfTheWholePage(t *testing.T) {
	t.Parallel()
	const browser = "chromium"
	if _, err := exec.LookPath(browser); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err, "CI must have Chromium: .ci/install brings it")
		}
		t.Skip("Chromium is not installed; `make install` brings it")
	}
	const (
		head  = `<p>pay_1 <p>Workflow Execution Started <p>`
		frame = `<iframe srcdoc="debits $25.00"></iframe>`
	)
	for name, tt := range map[string]struct {
		page  string
		whole bool
	}{
		"whole":      {head + `{"payment_id": "pay_1"}` + frame, true},
		"no events":  {`<p>pay_1 {"payment_id": "pay_1"}` + frame, false},
		"no input":   {head + `null` + frame, false},
		"ciphertext": {head + `{"payment_id": "pay_1"} {"encryption-key-id": "k-1"}` + frame, false},
		"no summary": {head + `{"payment_id": "pay_1"}<iframe></iframe>`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ui := http.NewServeMux()
			ui.HandleFunc("/api/v1/namespaces/default/workflows/pay_1", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprint(w, `{"workflowExecutionInfo":{"execution":{"runId":"run-1"}}}`)
			})
			ui.HandleFunc("/namespaces/default/workflows/pay_1/run-1/history", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprint(w, "<!doctype html>"+tt.page)
			})
			server := httptest.NewServer(ui)
			t.Cleanup(server.Close)
			data, err := json.Marshal(map[string]string{"temporal_ui": server.URL, "namespace": "default"})
			require.NoError(t, err)
			folder := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(folder, "addresses.json"), data, 0o600))
			within := time.Minute
			if !tt.whole {
				within = time.Second // nothing changes
			}
			f := flags{Data: folder, Payment: "pay_1", Out: filepath.Join(folder, "payment.png"), Within: within, Browser: browser}
			err = take(t.Context(), f)
			if tt.whole {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "never showed")
			}
			require.FileExists(t, f.Out, "it shows what was there instead")
		})
	}
}
