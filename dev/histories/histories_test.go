// Package histories records what workflows do on the real server, so that the
// tests of package workflows can replay it on newer code.
//
//	go test ./histories -record ../../workflows/testdata/histories
//
// A file that exists is never written again: running payments may have it.
package histories

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

var record = flag.String("record", "", "folder for the histories of new paths")

// path is one way through a payment's life.
type path struct {
	name    string
	request testcluster.M
	fault   testcluster.M                             // aimed at the ticket, once it is there
	live    func(ctx context.Context, s *stage) error // nil waits for the end
	end     payment.Status
}

// stage is a path's payment.
type stage struct {
	*testcluster.Merchant
	p payment.Payment
}

func (s *stage) phone(decision string) func(context.Context) error {
	return func(ctx context.Context) error { return s.System.Phone(ctx, decision, s.p.EcommerceID) }
}

func confirms(ctx context.Context, s *stage) error { return s.phone("confirm")(ctx) }
func cancels(ctx context.Context, s *stage) error  { return s.phone("cancel")(ctx) }

// refunds confirms, and asks for refunds once the payment is completed.
func refunds(amounts ...string) func(context.Context, *stage) error {
	return func(ctx context.Context, s *stage) error {
		if _, err := s.Await(ctx, s.p.ID, testcluster.Ended); err != nil {
			return err
		}
		for i, amount := range amounts {
			r, _, err := s.Refund(ctx, s.p.ID, fmt.Sprint(s.p.ID, i), amount)
			if err == nil && r.NeedsReview {
				_, err = s.Review(ctx, s.p.ID, r.ID, payment.VerdictNotExecuted)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func elsewhere(ctx context.Context, s *stage) error {
	if _, err := s.Await(ctx, s.p.ID, testcluster.Ended); err != nil {
		return err
	}
	_, _, err := s.System.Control(ctx, http.MethodPost, "/_sim/external-refunds", testcluster.M{"ecommerce_id": s.p.EcommerceID, "amount": "1.00"})
	if err == nil {
		_, err = s.Await(ctx, s.p.ID, func(p payment.Payment) bool { return p.RefundedAmount.String() == "1.00" })
	}
	return err
}

func forged(ctx context.Context, s *stage) error {
	return errors.Join(s.Post(ctx, testcluster.M{
		"transactionType": "ECOMMERCE", "status": "COMPLETED", "ecommerceId": s.p.EcommerceID, "referenceNumber": "forged",
		"date": "2026-01-02 03:04:05", "total": 1,
	}), confirms(ctx, s))
}

func withdraws(ctx context.Context, s *stage) error {
	_, _, err := s.Ask(ctx, http.MethodPost, "/v1/payments/"+s.p.ID+"/cancel", "", nil)
	return err
}

func phoneLater(ctx context.Context, s *stage) error {
	_, _, err := s.Ask(ctx, http.MethodPut, "/v1/payments/"+s.p.ID+"/phone-number", "k", testcluster.M{"phone_number": "7875551111"})
	return errors.Join(err, confirms(ctx, s))
}

// paths are those that the real server has gone. New ones are added at the end.
func paths() []path {
	to := func(phone string) testcluster.M { return testcluster.M{"phone_number": phone} }
	return []path{
		{name: "completed", request: to("7875551001"), live: confirms, end: payment.StatusCompleted},
		{name: "completed-without-webhook", request: to("7875551002"), live: confirms, end: payment.StatusCompleted,
			fault: testcluster.M{"op": "webhook", "fault": "webhook_lost", "times": 5}},
		{name: "completed-with-a-late-webhook", request: to("7875551003"), live: confirms, end: payment.StatusCompleted,
			fault: testcluster.M{"op": "webhook", "fault": "webhook_delayed", "delay_ms": 3000}},
		{name: "completed-with-a-forged-event", request: to("7875551004"), live: forged, end: payment.StatusCompleted},
		{name: "completed-with-items", request: testcluster.M{
			"phone_number": "7875551005", "metadata1": "table 4", "items": []testcluster.M{{"name": "Café", "description": "hot", "quantity": 1, "price": "5.00"}},
		}, live: confirms, end: payment.StatusCompleted},
		{name: "completed-after-a-phone-number", live: phoneLater, end: payment.StatusCompleted},
		{name: "cancelled-by-customer", request: to("7875551006"), live: cancels, end: payment.StatusCancelled},
		{name: "cancelled-by-merchant", live: withdraws, end: payment.StatusCancelled},
		{name: "expired", request: testcluster.M{"phone_number": "7875550200", "expires_in": 1}, end: payment.StatusExpired},
		{name: "confirmed-at-the-last-second", request: testcluster.M{"phone_number": "7875550203", "expires_in": 3}, end: payment.StatusCompleted},
		{name: "declined", request: to("7875550300"), end: payment.StatusFailed},
		{name: "debit-without-answer", request: to("7875550401"), end: payment.StatusCompleted},
		{name: "debit-died-before", request: to("7875550402"), end: payment.StatusCompleted},
		{name: "debit-answered-500", request: to("7875550405"), end: payment.StatusCompleted},
		{name: "debit-answered-9998", request: to("7875550406"), end: payment.StatusCompleted},
		{name: "create-without-answer", request: to("7875550400"), live: func(context.Context, *stage) error { return nil }, end: payment.StatusFailed},
		{name: "looks-fail", request: to("7875551007"), live: confirms, end: payment.StatusCompleted,
			fault: testcluster.M{"op": "find", "fault": "error_500", "times": 4}},
		{name: "in-review", request: testcluster.M{"phone_number": "7875551008", "expires_in": 1}, end: payment.StatusExpired,
			fault: testcluster.M{"op": "find", "fault": "error_500", "times": 16}},
		{name: "refunded", request: to("7875550100"), live: refunds("1.00", "2.00", "all"), end: payment.StatusCompleted},
		{name: "refund-declined", request: to("7875550304"), live: refunds("1.00"), end: payment.StatusCompleted},
		{name: "refund-without-answer", request: to("7875550403"), live: refunds("1.00"), end: payment.StatusCompleted},
		{name: "refund-in-review", request: to("7875550404"), live: refunds("1.00", "2.00"), end: payment.StatusCompleted},
		{name: "refunded-elsewhere", request: to("7875550101"), live: elsewhere, end: payment.StatusCompleted},
	}
}

func TestRecord(t *testing.T) {
	if *record == "" {
		t.Skip("nothing is recorded without -record FOLDER")
	}
	folder := t.TempDir()
	programs, err := testcluster.Build(t.Context(), filepath.Join("..", ".."), folder)
	require.NoError(t, err)
	s, err := testcluster.Start(t.Context(), programs, t.TempDir(), nil)
	require.NoError(t, err)
	defer s.KillAll()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	defer testcluster.NewMerchant(s).Listen(ctx)()

	require.NoError(t, os.MkdirAll(*record, 0o755))
	missing := slices.DeleteFunc(paths(), func(one path) bool { return exists(one.name + "." + workflows.ProcessPaymentName) })
	ids := make([]string, len(missing))
	var all errgroup.Group
	all.SetLimit(4) // one of them has a second in which to be seen
	for i, one := range missing {
		all.Go(func() error {
			id, err := walk(ctx, s, one)
			ids[i] = id
			if err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
			return nil
		})
	}
	require.NoError(t, all.Wait())
	require.NoError(t, s.Settle(ctx))
	for i, one := range missing {
		require.NoError(t, s.ExportPayment(ctx, ids[i], filepath.Join(*record, one.name)))
	}
	if !exists("receiver-removed." + workflows.ProcessPaymentName) {
		recordOrders(ctx, t, s)
	}
	if !exists("reserved-and-abandoned." + workflows.ProcessPaymentName) {
		recordSweep(ctx, t, s)
	}
	if !exists("refund-without-a-workflow." + workflows.ProcessPaymentName) {
		recordSettlement(ctx, t, s)
	}
	if !exists("reconciled." + workflows.ReconcileDayName) {
		recordReconciliation(ctx, t, s)
	}
}

// exists reports whether a path was recorded before.
func exists(name string) bool {
	_, err := os.Stat(filepath.Join(*record, name+".1.json"))
	return err == nil
}

// recordOrders has a payment tell a receiver whose program is not there, orders
// that it be delivered now, and removes it; and sends again what was delivered.
func recordOrders(ctx context.Context, t *testing.T, s *testcluster.System) {
	t.Helper()
	const name = "receiver-removed"
	m := testcluster.NewMerchant(s)
	_, _, err := m.Ask(ctx, http.MethodPut, "/v1/receivers/gone", "", testcluster.M{"receivers": []testcluster.M{{"event": payment.EventCompleted, "name": "books"}}})
	require.NoError(t, err)
	p, err := m.Paid(ctx, name, testcluster.M{"phone_number": "7875551009"})
	require.NoError(t, err)
	var pending, delivered string
	require.Eventually(t, func() bool {
		pending, delivered = "", ""
		for _, d := range deliveries(ctx, t, m, p.ID) {
			switch {
			case d.Host == "gone":
				pending = d.ID
			case d.Status == payment.DeliveryDelivered:
				delivered = d.ID
			}
		}
		return pending != "" && delivered != ""
	}, time.Minute, 100*time.Millisecond)
	redeliver := func(id string) {
		require.NoError(t, m.PostAccepted(ctx, "/v1/notifications/"+id+"/redeliver"))
	}
	redeliver(pending)
	_, err = s.Cobro(ctx, "receiver", "remove", "gone")
	require.NoError(t, err)
	redeliver(delivered)
	require.NoError(t, s.Settle(ctx))
	prefix := filepath.Join(*record, name)
	require.NoError(t, s.ExportPayment(ctx, p.ID, prefix))
	require.NoError(t, s.ExportWorkflow(ctx, workflows.RedeliveryWorkflowID(delivered), prefix+"."+workflows.RedeliverNotificationName+".1.json"))
}

func deliveries(ctx context.Context, t *testing.T, m *testcluster.Merchant, paymentID string) []payment.Delivery {
	t.Helper()
	_, body, err := m.Ask(ctx, http.MethodGet, "/v1/notifications?payment_id="+paymentID, "", nil)
	require.NoError(t, err)
	var listed struct {
		Notifications []payment.Delivery `json:"notifications"`
	}
	require.NoError(t, json.Unmarshal(body, &listed))
	return listed.Notifications
}

// recordSettlement has a refund die on its way, its workflow terminated, and a
// person say what became of it.
func recordSettlement(ctx context.Context, t *testing.T, s *testcluster.System) {
	t.Helper()
	const name = "refund-without-a-workflow"
	m := testcluster.NewMerchant(s)
	p, err := m.Paid(ctx, name, testcluster.M{"phone_number": "7875550404"})
	require.NoError(t, err)
	_, body, err := m.Ask(ctx, http.MethodPost, "/v1/payments/"+p.ID+"/refunds", name, testcluster.M{"amount": "1.00"})
	require.NoError(t, err)
	var r payment.Refund
	require.NoError(t, json.Unmarshal(body, &r))
	require.Equal(t, payment.RefundPending, r.Status, "%s", body)
	require.NoError(t, s.TerminateWorkflow(ctx, workflows.RefundWorkflowID(r.ID)))
	settled, err := m.Review(ctx, p.ID, r.ID, payment.VerdictNotExecuted)
	require.NoError(t, err)
	require.True(t, settled)
	prefix := filepath.Join(*record, name)
	require.NoError(t, s.ExportPayment(ctx, p.ID, prefix))
	require.NoError(t, s.ExportWorkflow(ctx, workflows.SettlementWorkflowID(r.ID), prefix+"."+workflows.SettleRefundName+".1.json"))
}

// recordSweep has a payment and a refund reserved by an API that died before it asked
// Temporal. The payment ends as stale, the refund is sent.
func recordSweep(ctx context.Context, t *testing.T, s *testcluster.System) {
	t.Helper()
	const name = "reserved-and-abandoned"
	m := testcluster.NewMerchant(s)
	paid, err := m.Paid(ctx, name, testcluster.M{"phone_number": "7875551011"})
	require.NoError(t, err)
	id := ledger.DeriveID("default", name+" too")
	require.NoError(t, s.Reserve(ctx, id, payment.Request{Total: money.FromCents(5_00), ExpiresIn: 10 * time.Minute}))
	amount := money.FromCents(1_00)
	refund := ledger.Reservation{
		RefundID: ledger.DeriveRefundID(paid.ID, name), PaymentID: paid.ID, Amount: &amount, Fingerprint: "fingerprint", At: time.Now(),
	}
	require.NoError(t, s.ReserveRefund(ctx, refund))
	swept, err := s.Sweep(ctx, name)
	require.NoError(t, err)
	require.Equal(t, 2, swept.Started)
	stale, err := m.Await(ctx, id, testcluster.Ended)
	require.NoError(t, err)
	require.Equal(t, payment.FailureStale, stale.Failure.Code)
	_, err = m.Await(ctx, paid.ID, func(p payment.Payment) bool { return p.RefundedAmount == amount })
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	prefix := filepath.Join(*record, name)
	require.NoError(t, s.ExportPayment(ctx, id, prefix))
	require.NoError(t, s.ExportWorkflow(ctx, workflows.RefundWorkflowID(refund.RefundID), prefix+"."+workflows.RefundPaymentName+".1.json"))
	require.NoError(t, s.ExportWorkflow(ctx, name, prefix+"."+workflows.SweepName+".1.json"))
}

// recordReconciliation has a day with a refund and a payer that no event named
// of, and with a sale that Cobro does not know.
func recordReconciliation(ctx context.Context, t *testing.T, s *testcluster.System) {
	t.Helper()
	const name = "reconciled"
	silent, err := walk(ctx, s, path{name: name, request: testcluster.M{"phone_number": "7875551010"}, end: payment.StatusCompleted,
		fault: testcluster.M{"op": "webhook", "fault": "webhook_lost", "times": 5}, live: confirms})
	require.NoError(t, err)
	m := testcluster.NewMerchant(s)
	p, err := m.Show(ctx, silent)
	require.NoError(t, err)
	_, _, err = s.Control(ctx, http.MethodPost, "/_sim/external-refunds", testcluster.M{"ecommerce_id": p.EcommerceID, "amount": "1.00"})
	require.NoError(t, err)
	require.NoError(t, s.Fault(ctx, testcluster.M{"op": "report", "fault": "drop_before", "times": 3})) // a span is halved
	day := time.Now().In(time.FixedZone("AST", -4*60*60)).Format(time.DateOnly)
	_, err = s.Cobro(ctx, "reconcile", "--from", day)
	require.NoError(t, err)
	require.NoError(t, s.ExportWorkflow(ctx, workflows.ReconcileWorkflowID(day), filepath.Join(*record, name+"."+workflows.ReconcileDayName+".1.json")))
}

// walk goes one path.
func walk(ctx context.Context, s *testcluster.System, one path) (string, error) {
	request := testcluster.M{"total": "5.00", "reference": one.name}
	for name, value := range one.request {
		request[name] = value
	}
	here := &stage{Merchant: testcluster.NewMerchant(s)}
	p, opened, err := here.Open(ctx, one.name, request)
	if err != nil || !opened {
		return p.ID, err
	}
	here.p = p
	if one.fault != nil {
		one.fault["ecommerce_id"] = p.EcommerceID
		if err := s.Fault(ctx, one.fault); err != nil {
			return p.ID, err
		}
	}
	if one.live != nil {
		if err := one.live(ctx, here); err != nil {
			return p.ID, err
		}
	}
	p, err = here.Await(ctx, p.ID, testcluster.Ended)
	if err == nil && p.Status != one.end {
		err = fmt.Errorf("it is %s", p.Status)
	}
	return p.ID, err
}
