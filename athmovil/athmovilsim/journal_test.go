package athmovilsim_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// TestJournalRestoresState stops a simulator and starts another on its journal.
func TestJournalRestoresState(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.journal")
	config := athmovilsim.Config{Journal: path}
	w := start(t, config)
	elsewhere := listen(t)
	w.call(http.MethodPost, "/transactions/webhook/post", subscribing(elsewhere.server.URL), nil)
	paid, reference := w.pay(nil)
	w.refund(reference, "5.00")
	waiting := w.create(object{"phoneNumber": "7875550130"})
	confirmed := w.create(nil)
	w.confirm(confirmed.id)
	w.pass(10 * time.Second)
	tickets, books, clock := w.get("/_sim/tickets"), w.get("/_sim/books"), w.get("/_sim/clock")
	w.stop()

	mode, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), mode.Mode().Perm())

	w = open(t, config)
	require.Equal(t, tickets, w.get("/_sim/tickets"))
	require.Equal(t, books, w.get("/_sim/books"))
	require.Equal(t, clock["now"], w.get("/_sim/clock")["now"], "time does not run back")
	require.Equal(t, true, w.get("/_sim/clock")["stopped"])

	require.Equal(t, "0003", w.authorize(confirmed.token).data(t)["dailyTransactionId"], "a token from before is good")
	require.Equal(t, "BTRA_0004", w.refund(reference, "20.01").code(t))
	w.pass(20 * time.Second)
	require.Equal(t, "CONFIRM", w.status(waiting.id), "scripts go on")
	w.pass(600 * time.Second)
	require.Equal(t, "CANCEL", w.status(waiting.id), "timers go on")
	require.Equal(t, "COMPLETED", w.status(paid.id))
	w.stop()
	require.Empty(t, w.listener.bodies, "the subscription is kept")
	require.NotEmpty(t, elsewhere.bodies)
}

// A ticket expires between two runs.
func TestTicketExpiresWhileSimulatorIsClosed(t *testing.T) {
	t.Parallel()
	now, err := time.Parse(time.RFC3339, epoch)
	require.NoError(t, err)
	config := athmovilsim.Config{
		Journal: filepath.Join(t.TempDir(), "gateway.journal"),
		Now:     func() time.Time { return now },
	}
	w := open(t, config)
	ticket := w.create(nil)
	w.stop()
	later := now.Add(time.Hour)
	config.Now = func() time.Time { return later }
	w = open(t, config)
	require.Equal(t, "CANCEL", w.status(ticket.id))
	require.Equal(t, "expired", w.listener.next(t)["status"])
}

// TestEveryJournalPrefixIsConsistent cuts a journal behind every byte of its
// end, as a crash may: what remains is one of the states that were answered,
// never half of one.
func TestEveryJournalPrefixIsConsistent(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "gateway.journal")
	w := start(t, athmovilsim.Config{Journal: path})
	ticket, reference := w.pay(nil)
	require.Equal(t, http.StatusOK, w.refund(reference, "5.00").status)
	w.stop()
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	require.Empty(t, lines[len(lines)-1], "the journal ends with a whole line")
	last := lines[len(lines)-2]
	for cut := range last {
		torn := filepath.Join(folder, "torn")
		require.NoError(t, os.WriteFile(torn, whole[:len(whole)-len(last)+cut], 0o644)) // too open on purpose
		w := open(t, athmovilsim.Config{Journal: torn})
		debits, credits := w.books()
		require.Equal(t, []string{"25.00", "0.00"}, []string{debits, credits}, "the refund was never answered")
		require.Equal(t, "COMPLETED", w.status(ticket.id))
		w.stop()
		content, err := os.ReadFile(torn)
		require.NoError(t, err)
		require.Equal(t, string(whole[:len(whole)-len(last)]), string(content), "the torn line is gone")
		if cut == len(last)-1 {
			w = open(t, athmovilsim.Config{Journal: torn})
			require.Equal(t, http.StatusOK, w.refund(reference, "7.00").status)
			w.stop()
			w = open(t, athmovilsim.Config{Journal: torn})
			_, credits = w.books()
			require.Equal(t, "7.00", credits, "what is written behind a torn line is read again")
			mode, err := os.Stat(torn)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), mode.Mode().Perm())
			w.stop()
		}
	}
}

func TestUnreadableJournalIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ content, want string }{
		{"not json\n{\"version\":1}\n", "is not a journal"},
		{"somebody's notes, in half a line", "is not a journal"},
		{"{\"version\":1}\n{\"ticket\":7}\n{}\n", "line 2 is not readable"},
		{"{\"version\":2}\n", "version 2"},
		{"{\"version\":1\n", "line 1 is not readable"},
		{"{\"clock\":{}}\n", "is not a journal"},
		{"{\"version\":1,\"key\":\"bm90IGEga2V5\"}\n", "signing key"},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "gateway.journal")
		require.NoError(t, os.WriteFile(path, []byte(tt.content), 0o600))
		require.NoError(t, os.Chmod(path, 0o644))
		_, err := athmovilsim.New(athmovilsim.Config{Journal: path})
		require.ErrorContains(t, err, tt.want)
		left, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, tt.content, string(left))
		info, err := os.Stat(path)
		require.NoError(t, err)
		if tt.want == "is not a journal" {
			require.Equal(t, os.FileMode(0o644), info.Mode().Perm(), "it is somebody else's file")
		}
	}
	_, err := athmovilsim.New(athmovilsim.Config{Journal: t.TempDir()})
	require.ErrorContains(t, err, "is not a regular file")
	_, err = athmovilsim.New(athmovilsim.Config{Journal: filepath.Join(t.TempDir(), "no", "such", "folder")})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestBrokenJournalRefusesCalls loses the disk: no call may claim to have
// done what nobody will remember.
func TestBrokenJournalRefusesCalls(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.journal")
	w := start(t, athmovilsim.Config{Journal: path})
	ticket := w.create(nil)
	w.confirm(ticket.id)
	w.broken = true
	require.NoError(t, w.sim.BreakJournal())
	got := w.authorize(ticket.token)
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Equal(t, "BTRA_9999", got.code(t))
	require.Empty(t, w.listener.bodies)
	w.gateway.Close()
	w.control.Close()
	require.Error(t, w.sim.Close())

	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(content), "COMPLETED")
}

// TestResponsesWaitForSync holds back the fsync of a debit: neither its answer
// nor its webhook may come before the disk has it, nor may anybody else read of
// it.
func TestResponsesWaitForSync(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{Journal: filepath.Join(t.TempDir(), "gateway.journal")})
	ticket := w.create(nil)
	w.confirm(ticket.id)
	asked, allowed := make(chan struct{}, 10), make(chan struct{})
	w.sim.SlowJournal(func() error {
		asked <- struct{}{}
		<-allowed
		return nil
	})
	answers := make(chan string, 2)
	var waiting sync.WaitGroup
	waiting.Go(func() { answers <- w.authorize(ticket.token).data(t)["ecommerceStatus"].(string) })
	<-asked
	waiting.Go(func() { answers <- w.status(ticket.id) })
	require.Eventually(t, func() bool {
		requests, err := w.try(w.control, http.MethodGet, "/_sim/requests", nil, nil)
		return err == nil && strings.Contains(string(requests.body), `"op":"find"`)
	}, patience, time.Millisecond)
	require.Empty(t, answers)
	require.Empty(t, w.listener.bodies)
	close(allowed)
	waiting.Wait()
	require.Equal(t, "COMPLETED", <-answers)
	require.Equal(t, "COMPLETED", <-answers)
	require.Equal(t, "COMPLETED", w.listener.next(t)["status"])
}

// TestFailedSyncRefusesCalls loses the disk between a write and its fsync:
// what is on it is unknown, so every call fails from then on.
func TestFailedSyncRefusesCalls(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{Journal: filepath.Join(t.TempDir(), "gateway.journal")})
	ticket := w.create(nil)
	w.confirm(ticket.id)
	w.broken = true
	w.sim.SlowJournal(func() error { return os.ErrDeadlineExceeded })
	require.Equal(t, "BTRA_9999", w.authorize(ticket.token).code(t))
	require.Equal(t, "BTRA_9999", w.call(http.MethodPost, api+"/business/findPayment", named(ticket.id), nil).code(t))
	w.stop()
	require.Empty(t, w.listener.bodies)
}

// TestClosedSimulatorRefuses keeps a late call from being forgotten.
func TestClosedSimulatorRefuses(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	require.NoError(t, w.sim.Close())
	require.Equal(t, "BTRA_9999", w.call(http.MethodPost, api+"/payment", sale(nil), nil).code(t))
}

// Concurrent payments share the journal's fsyncs. Nothing is lost or counted twice.
func TestConcurrentPaymentsAddUp(t *testing.T) {
	t.Parallel()
	config := athmovilsim.Config{Journal: filepath.Join(t.TempDir(), "gateway.journal")}
	w := open(t, config)
	const payments = 50
	var all sync.WaitGroup
	codes := make(chan string, 3*payments)
	for range payments {
		all.Go(func() { // the test waits below
			ticket, reference := w.pay(nil)
			var tries sync.WaitGroup
			for range 3 { // 3 times 10 dollars of 25: one must fail
				tries.Go(func() {
					answer := w.refund(reference, "10.00")
					if answer.status != http.StatusOK {
						codes <- answer.code(t)
					}
				})
			}
			tries.Wait()
			w.authorize(ticket.token)
		})
	}
	all.Wait()
	close(codes)
	require.Len(t, codes, payments)
	for code := range codes {
		require.Equal(t, "BTRA_0004", code)
	}
	debits, credits := w.books()
	require.Equal(t, []string{"1250.00", "1000.00"}, []string{debits, credits})
	w.stop()
	w = open(t, config)
	debits, credits = w.books()
	require.Equal(t, []string{"1250.00", "1000.00"}, []string{debits, credits})
}

// TestJournalHoldsNoToken looks for what must not be written down.
func TestJournalHoldsNoToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.journal")
	w := start(t, athmovilsim.Config{Journal: path})
	ticket, reference := w.pay(nil)
	w.refund(reference, "1.00")
	log, err := w.try(w.control, http.MethodGet, "/_sim/requests", nil, nil)
	require.NoError(t, err)
	w.stop()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, text := range []string{string(content), string(log.body)} {
		require.NotContains(t, text, athmovilsim.DefaultPrivateToken)
		require.NotContains(t, text, ticket.token)
		require.NotContains(t, text, strings.Split(ticket.token, ".")[2])
	}
}
