package cobrotest_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/cobrotest"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inbox is a merchant's receivers of every event, which keep what they get.
type inbox struct {
	mu   sync.Mutex
	mail []payment.Notification
}

func (i *inbox) notifications() *activities.Notifications {
	n := activities.NewNotifications()
	for _, event := range payment.Events() {
		n.On(event, "keep", i.keep)
	}
	return n
}

func (i *inbox) keep(_ context.Context, n payment.Notification) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mail = append(i.mail, n)
	return nil
}

// take returns what came since it was last asked, and the names of the events.
func (i *inbox) take() (mail []payment.Notification, events string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	mail, i.mail = i.mail, nil
	var names []string
	for _, n := range mail {
		names = append(names, string(n.Event))
	}
	return mail, strings.Join(names, " ")
}

func TestNotification(t *testing.T) {
	t.Parallel()
	ids := map[string]payment.Event{}
	for _, event := range payment.Events() {
		t.Run(string(event), func(t *testing.T) {
			n := cobrotest.Notification(event)
			require.Equal(t, n, cobrotest.Notification(event), "always the same")
			require.Equal(t, event, n.Event)
			require.Regexp(t, `^ntf_[0-9a-z]{26}$`, n.ID)
			require.NotContains(t, ids, n.ID)
			ids[n.ID] = event
			require.Equal(t, payment.NotificationVersion, n.Version)
			require.Positive(t, n.Sequence)
			require.False(t, n.OccurredAt.IsZero())

			written, err := json.Marshal(n)
			require.NoError(t, err)
			var read payment.Notification
			require.NoError(t, json.Unmarshal(written, &read))
			require.Equal(t, n, read)

			p := n.Payment
			require.True(t, ledger.IsID(p.ID))
			require.NoError(t, p.Validate(payment.MinExpiresIn), "a payment that could have been asked for")
			lines := money.Amount{}
			for _, item := range p.Items {
				for range item.Quantity {
					lines = lines.Add(item.Price)
				}
			}
			require.Equal(t, *p.Subtotal, lines)
			if announced, ok := payment.EventFor(p.Status); ok && n.Refund == nil && n.Mismatch == nil {
				require.Equal(t, event, announced)
			}
			if p.Status == payment.StatusCompleted {
				require.Equal(t, p.Total, p.NetAmount.Add(*p.Fee))
				require.False(t, p.Customer.IsZero())
			}
			isRefund := event == payment.EventRefundCompleted || event == payment.EventRefundFailed
			require.Equal(t, isRefund, n.Refund != nil)
			require.Equal(t, event == payment.EventNeedsReview, n.Review != nil)
			require.Equal(t, event == payment.EventReconciliationMismatch, n.Mismatch != nil)
		})
	}
}

func TestNotificationChanges(t *testing.T) {
	t.Parallel()
	plain := cobrotest.Notification(payment.EventCompleted)
	other := cobrotest.Notification(payment.EventCompleted, func(n *payment.Notification) { n.Payment.ID = "pay_other" })
	require.Equal(t, "pay_other", other.Payment.ID)
	require.NotEqual(t, plain.ID, other.ID, "another payment's notification has another id")
	named := cobrotest.Notification(payment.EventCompleted, func(n *payment.Notification) { n.ID = "ntf_mine" })
	require.Equal(t, "ntf_mine", named.ID)
}

// TestNotificationIsLikeAPayment compares the sample with what the workflows
// make of the same sale.
func TestNotificationIsLikeAPayment(t *testing.T) {
	t.Parallel()
	in := &inbox{}
	cobrotest.NewShop(t, in.notifications()).Pay("25.00")
	mail, _ := in.take()
	real, sample := mail[1], cobrotest.Notification(payment.EventCompleted)
	require.Equal(t, real.Event, sample.Event)
	require.Equal(t, real.Version, sample.Version)
	require.Equal(t, real.Sequence, sample.Sequence)
	require.Equal(t, real.Payment.Fee, sample.Payment.Fee)
	require.Equal(t, real.Payment.NetAmount, sample.Payment.NetAmount)
	require.Equal(t, real.Payment.Customer.Name, sample.Payment.Customer.Name)
	require.Len(t, sample.Payment.ReferenceNumber, len(real.Payment.ReferenceNumber))
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	in := &inbox{}
	delivered := cobrotest.Deliver(t, in.notifications(), func(n *payment.Notification) { n.Payment.Reference = "table-4" })
	require.Len(t, delivered, len(payment.Events()))
	mail, _ := in.take()
	require.Len(t, mail, 2*len(delivered))
	for i, d := range delivered {
		require.Equal(t, string(payment.Events()[i])+"/keep", d.Receiver)
		require.NoError(t, d.First)
		require.NoError(t, d.Again)
		require.Equal(t, d.Notification, mail[i])
		require.Equal(t, d.Notification, mail[len(mail)-1-i], "again, and backwards")
		require.Equal(t, "table-4", mail[i].Payment.Reference)
	}
}

func TestDeliverGivesEachReceiverItsOwnID(t *testing.T) {
	t.Parallel()
	n := activities.NewNotifications()
	in := &inbox{}
	n.On(payment.EventCompleted, "one", in.keep)
	n.On(payment.EventCompleted, "two", in.keep)
	delivered := cobrotest.Deliver(t, n)
	require.NotEqual(t, delivered[0].Notification.ID, delivered[1].Notification.ID)
}

// TestDeliverFails says that a receiver which is not fit for production makes
// the test fail.
func TestDeliverFails(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, tt := range []struct {
		name     string
		register func(*activities.Notifications)
		want     string
	}{
		{"one that fails", func(n *activities.Notifications) {
			n.On(payment.EventCreated, "bad", func(context.Context, payment.Notification) error { return errors.New("no paper") })
		}, "payment_created/bad: "},
		{"one that gives up", func(n *activities.Notifications) {
			n.On(payment.EventCreated, "bad", func(context.Context, payment.Notification) error {
				return activities.Permanent(errors.New("no such order"))
			})
		}, "payment_created/bad: "},
		{"one that is not idempotent", func(n *activities.Notifications) {
			n.On(payment.EventCompleted, "ship", func(_ context.Context, n payment.Notification) error {
				if seen[n.ID] {
					return errors.New("shipped already")
				}
				seen[n.ID] = true
				return nil
			})
		}, "payment_completed/ship: the same notification came again, as it may: "},
		{"one that panics", func(n *activities.Notifications) {
			n.On(payment.EventCompleted, "bad", func(_ context.Context, n payment.Notification) error {
				return errors.New(n.Payment.Failure.Code)
			})
		}, "payment_completed/bad: "},
		{"one that outlives its timeout", func(n *activities.Notifications) {
			n.Add(activities.Receiver{
				Event: payment.EventCompleted, Name: "slow", Timeout: time.Millisecond,
				Func: func(ctx context.Context, _ payment.Notification) error { <-ctx.Done(); return ctx.Err() },
			})
		}, "payment_completed/slow: "},
		{"one under a bad name", func(n *activities.Notifications) {
			n.On(payment.EventCompleted, "Send Receipt", func(context.Context, payment.Notification) error { return nil })
		}, "the receivers are not well registered"},
		{"none", func(*activities.Notifications) {}, "there is no receiver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := activities.NewNotifications()
			tt.register(n)
			test := watch(t.Context(), func(t testing.TB) { cobrotest.Deliver(t, n) })
			require.Len(t, test.errors, 1, "it is logged once")
			require.Contains(t, test.errors[0], tt.want)
		})
	}
}

func TestShop(t *testing.T) {
	t.Parallel()
	in := &inbox{}
	shop := cobrotest.NewShop(t, in.notifications())

	paid := shop.Pay("25.00", cobrotest.Order("order-1042"))
	mail, events := in.take()
	require.Equal(t, "payment_created payment_completed", events)
	require.Equal(t, payment.StatusOpen, mail[0].Payment.Status)
	require.Equal(t, paid.ID, mail[1].Payment.ID)
	require.Equal(t, "order-1042", mail[1].Payment.Reference)
	require.Equal(t, "0.56", mail[1].Payment.Fee.String())
	require.Equal(t, "Benito Cruz", string(mail[1].Payment.Customer.Name), "the webhook named the payer")
	require.Equal(t, paid.Customer, mail[1].Payment.Customer)
	for i, d := range shop.Deliveries(paid) {
		require.Equal(t, mail[i].ID, d.ID)
		require.Equal(t, payment.DeliveryDelivered, d.Status)
		require.Equal(t, 1, d.Attempts)
	}

	refund := shop.Refund(paid, "5.00")
	mail, events = in.take()
	require.Equal(t, "refund_completed", events)
	require.Equal(t, payment.RefundCompleted, refund.Status)
	require.Equal(t, refund.ID, mail[0].Refund.ID)
	require.Equal(t, 3, mail[0].Sequence)
	require.Equal(t, "5.00", shop.Payment(paid.ID).RefundedAmount.String())
	shop.Refund(paid, "20.00")
	_, events = in.take()
	require.Equal(t, "refund_completed", events)

	other := shop.Pay("5.00")
	require.Equal(t, "order-2", other.Reference)
	require.NotEqual(t, paid.ID, other.ID)
	_, events = in.take()
	require.Equal(t, "payment_created payment_completed", events)
}

// TestShopLives runs each way in which a payment may end.
func TestShopLives(t *testing.T) {
	t.Parallel()
	sell := func(phone string) func(*cobrotest.Shop) payment.Payment {
		return func(s *cobrotest.Shop) payment.Payment {
			return s.Sell(payment.Request{Total: money.MustParse("12.50"), PhoneNumber: private.Text(phone)})
		}
	}
	const paid, over = "payment_created payment_completed", "payment_created payment_failed"
	for _, tt := range []struct {
		name    string
		sell    func(*cobrotest.Shop) payment.Payment
		status  payment.Status
		failure string
		events  string
		payer   string
	}{
		{"paid", func(s *cobrotest.Shop) payment.Payment { return s.Pay("12.50") }, payment.StatusCompleted, "", paid, "Benito Cruz"},
		{"cancelled", func(s *cobrotest.Shop) payment.Payment { return s.Cancel("12.50") }, payment.StatusCancelled, payment.FailureCancelledByCustomer, over, ""},
		{"expired", func(s *cobrotest.Shop) payment.Payment { return s.Expire("12.50") }, payment.StatusExpired, "", "payment_created payment_expired", ""},
		{"declined", func(s *cobrotest.Shop) payment.Payment { return s.Decline("12.50") }, payment.StatusFailed, "BTRA_0044", over, ""},
		{"confirmed at the last second", sell("7875550203"), payment.StatusCompleted, "", paid, "Hugo Paz"},
		{"no ticket", sell("7875550400"), payment.StatusFailed, payment.FailureGatewayNoAnswer, "payment_failed", ""},
		{"the debit's answer is lost", sell("7875550401"), payment.StatusCompleted, "", paid, "Pablo Gil"},
		{"the debit dies before it happened", sell("7875550402"), payment.StatusCompleted, "", paid, "Quino Reyes"},
		{"no webhook", sell("7875550500"), payment.StatusCompleted, "", paid, ""},
		{"a webhook in the old dialect", sell("7875550503"), payment.StatusCompleted, "", paid, "Yari Berríos"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &inbox{}
			shop := cobrotest.NewShop(t, in.notifications())
			ended := tt.sell(shop)
			require.Equal(t, tt.status, ended.Status)
			if tt.failure != "" {
				require.NotNil(t, ended.Failure)
				require.Equal(t, tt.failure, ended.Failure.Code)
			}
			mail, events := in.take()
			require.Equal(t, tt.events, events)
			last := mail[len(mail)-1]
			require.Equal(t, tt.payer, string(last.Payment.Customer.Name))
			require.Equal(t, "order-1", last.Payment.Reference)
		})
	}
}

// TestShopReview runs a refund that ATH Móvil never settles, which a person
// decides in the end.
func TestShopReview(t *testing.T) {
	t.Parallel()
	in := &inbox{}
	shop := cobrotest.NewShop(t, in.notifications())
	paid := shop.Sell(payment.Request{Total: money.MustParse("9.00"), PhoneNumber: "7875550304"})
	in.take()
	refund := shop.Refund(paid, "9.00")
	require.Equal(t, payment.RefundFailed, refund.Status)
	require.Equal(t, payment.FailureReviewed, refund.Failure.Code)
	mail, events := in.take()
	require.Equal(t, "payment_needs_review refund_failed", events)
	require.Equal(t, payment.CauseRefundUnknown, mail[0].Review.Cause)
}

// TestShopRetries lets receivers fail: days of pauses are skipped.
func TestShopRetries(t *testing.T) {
	t.Parallel()
	tries := 0
	n := activities.NewNotifications()
	n.On(payment.EventCompleted, "mail", func(context.Context, payment.Notification) error {
		if tries++; tries < 30 { // which is more than a day
			return errors.New("the mail server is away")
		}
		return nil
	})
	n.On(payment.EventCompleted, "never", func(context.Context, payment.Notification) error { return errors.New("the paper is out") })
	n.On(payment.EventCompleted, "permanent", func(context.Context, payment.Notification) error {
		return activities.Permanent(errors.New("no such order"))
	})
	n.On(payment.EventCompleted, "panics", func(_ context.Context, n payment.Notification) error {
		return errors.New(n.Payment.Failure.Code)
	})
	var deliveries []payment.Delivery
	var took time.Duration
	test := watch(t.Context(), func(t testing.TB) {
		shop := cobrotest.NewShop(t, n)
		began := shop.Now()
		deliveries = shop.Deliveries(shop.Pay("25.00"))
		took = shop.Now().Sub(began)
	})
	require.Empty(t, test.errors, "a receiver that fails is none of the test's failures")
	require.True(t, test.ended)
	require.Greater(t, took, 24*time.Hour)

	byName := map[string]payment.Delivery{}
	for _, d := range deliveries {
		byName[d.Receiver] = d
	}
	require.Equal(t, payment.DeliveryDelivered, byName["mail"].Status)
	require.Equal(t, 30, byName["mail"].Attempts)
	require.Equal(t, payment.DeliveryFailed, byName["never"].Status)
	require.Equal(t, payment.DeliveryFailed, byName["permanent"].Status)
	require.Equal(t, 1, byName["permanent"].Attempts)
	require.Equal(t, payment.DeliveryFailed, byName["panics"].Status)

	logs := strings.Join(test.logs, "\n")
	require.Contains(t, logs, "payment_completed/mail, attempt 1: the mail server is away")
	require.Contains(t, logs, "payment_completed/permanent, attempt 1: no such order")
	require.Contains(t, logs, "payment_completed/panics, attempt 1: the receiver panicked: runtime error")
}

func TestShopFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(*cobrotest.Shop)
		want string
	}{
		{"a total that is none", func(s *cobrotest.Shop) { s.Pay("a lot") }, "read the total"},
		{"a total that ATH Móvil does not take", func(s *cobrotest.Shop) { s.Pay("0.10") }, "ask for a payment"},
		{"another end than was asked for", func(s *cobrotest.Shop) {
			s.Pay("5.00", func(r *payment.Request) { r.PhoneNumber = "7875550201" })
		}, "is cancelled, want completed"},
		{"more refunded than paid", func(s *cobrotest.Shop) { s.Refund(s.Pay("5.00"), "5.01") }, "refund_exceeds_balance"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := &inbox{}
			test := watch(t.Context(), func(t testing.TB) { tt.do(cobrotest.NewShop(t, in.notifications())) })
			require.False(t, test.ended)
			require.Len(t, test.errors, 1)
			require.Contains(t, test.errors[0], tt.want)
		})
	}
}

// TestShopIsTheSameEveryTime runs one day twice.
func TestShopIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	day := func() []payment.Notification {
		in := &inbox{}
		shop := cobrotest.NewShop(t, in.notifications())
		paid := shop.Pay("25.00")
		shop.Expire("3.00")
		shop.Refund(paid, "5.00")
		mail, _ := in.take()
		for i := range mail { // what the gateway draws is its own
			mail[i].Payment.EcommerceID, mail[i].Payment.ReferenceNumber = "", ""
			if mail[i].Refund != nil {
				mail[i].Refund.ReferenceNumber = ""
			}
		}
		return mail
	}
	monday, again := day(), day()
	require.Equal(t, monday, again)
}
