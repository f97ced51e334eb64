package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	failurepb "go.temporal.io/api/failure/v1"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// TestTypeScriptReceiversRetryWithSameID runs the example in TypeScript as its
// README says. Its first attempt fails, since a file is where the folder of the
// receipts should be; then it is killed, and started again without the file.
func TestTypeScriptReceiversRetryWithSameID(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	example := builtExample(t)
	receipts := filepath.Join(t.TempDir(), "receipts")
	require.NoError(t, os.WriteFile(receipts, nil, 0o600))
	host := c.host(t, example, receipts)

	opened := c.open(t, m{"total": "25.00", "phone_number": "7875550999", "metadata1": "table 4"})
	c.phone(t, "confirm", opened.EcommerceID)
	failed, err := host.AwaitLog(t.Context(), regexp.MustCompile(`receiver failed[^}]*notification: '(ntf_[0-9a-z]{26})'`))
	require.NoError(t, err)
	id := failed[1]
	c.requireSealedFailure(t, opened.ID)
	host.Kill()

	require.NoError(t, os.Remove(receipts))
	host = c.host(t, example, receipts)
	var got payment.Notification
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(filepath.Join(receipts, opened.ID+".json"))
		return err == nil && json.Unmarshal(data, &got) == nil
	}, 2*timeout, interval, "the receiver was not called again")
	require.Equal(t, id, got.ID, "the same id on every retry, by another process, too")
	require.Equal(t, payment.EventCompleted, got.Event)
	require.Equal(t, payment.StatusCompleted, got.Payment.Status)
	require.EqualValues(t, "table 4", got.Payment.Metadata1, "what is private arrives in clear")
	require.NotEmpty(t, got.Payment.Customer.Name)

	delivery := c.awaitDelivery(t, opened.ID, "typescript")
	require.Equal(t, id, delivery.ID)
	require.Equal(t, payment.DeliveryDelivered, delivery.Status)
	require.NoError(t, host.Stop())
}

// builtExample installs, builds and tests a copy of the example, so that the
// repository is left as it is.
func builtExample(t *testing.T) string {
	t.Helper()
	const recent = `const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || major == 20 && minor >= 3 ? 0 : 1)`
	_, err := exec.LookPath("npm")
	if err = errors.Join(err, exec.CommandContext(t.Context(), "node", "-e", recent).Run()); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err, "CI must have Node.js 20.3 or newer, and npm: .ci/install brings them")
		}
		t.Skip("Node.js 20.3 or newer, or npm, is not installed; `make install` brings them")
	}
	source, folder := filepath.Join("..", "..", "examples", "typescript"), t.TempDir()
	require.NoError(t, filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{"node_modules", "dist", "receipts"}, entry.Name()) {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(folder, inside), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, inside), data, 0o600)
	}))
	for _, args := range [][]string{{"ci", "--no-audit", "--no-fund"}, {"test"}} {
		npm := exec.CommandContext(t.Context(), "npm", args...)
		npm.Dir = folder
		out, err := npm.CombinedOutput()
		require.NoError(t, err, "npm %s: %s", strings.Join(args, " "), out)
	}
	return folder
}

// host starts the built example beside dev.
func (c *cobro) host(t *testing.T, example, receipts string) *testcluster.Process {
	t.Helper()
	cmd := exec.Command("node", filepath.Join("dist", "src", "main.js"))
	cmd.Dir = example
	cmd.Env = append(os.Environ(), "COBRO_DATA="+c.data, "RECEIPTS="+receipts)
	host, err := testcluster.StartProcess(cmd, filepath.Join(c.data, "typescript.log"))
	require.NoError(t, err)
	t.Cleanup(func() {
		host.Kill()
		if t.Failed() {
			t.Logf("the log of the example:\n%s", host.Log())
		}
	})
	_, err = host.AwaitLog(t.Context(), regexp.MustCompile(`Worker state changed[^}]*state: '(RUNNING)'`))
	require.NoError(t, err)
	return host
}

// requireSealedFailure reads the failure of an attempt in Temporal: nothing is in
// clear, and whoever has the key can read all of it.
func (c *cobro) requireSealedFailure(t *testing.T, paymentID string) {
	t.Helper()
	temporal, converter := c.dial(t)
	var failure *failurepb.Failure // known to Temporal a moment after the example has logged it
	require.Eventually(t, func() bool {
		described, err := temporal.DescribeWorkflowExecution(t.Context(), workflows.PaymentWorkflowID(paymentID), "")
		require.NoError(t, err)
		for _, pending := range described.GetPendingActivities() {
			if pending.GetActivityType().GetName() == "payment_completed/send-receipt" {
				failure = pending.GetLastFailure()
			}
		}
		return failure != nil
	}, timeout, interval)
	require.NotContains(t, failure.String(), "EEXIST")
	read := temporalclient.NewFailureConverter(converter).FailureToError(failure)
	require.ErrorContains(t, read, "EEXIST")
	require.Equal(t, "receiver", failure.GetApplicationFailureInfo().GetType())
}

// awaitDelivery waits until the delivery to a host has ended, and returns it.
func (c *cobro) awaitDelivery(t *testing.T, paymentID, host string) payment.Delivery {
	t.Helper()
	ring, err := seal.Load(c.at.KeyFile)
	require.NoError(t, err)
	db, err := store.Open(t.Context(), store.Config{DSN: c.at.Store, Sealer: ring})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var found payment.Delivery
	require.Eventually(t, func() bool {
		deliveries, err := db.Deliveries(t.Context(), paymentID)
		require.NoError(t, err)
		i := slices.IndexFunc(deliveries, func(d payment.Delivery) bool { return d.Host == host && d.EndedAt != nil })
		if i >= 0 {
			found = deliveries[i]
		}
		return i >= 0
	}, timeout, interval, "the delivery never ended")
	return found
}
