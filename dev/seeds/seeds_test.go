package seeds

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/dev/rig"
	"github.com/cobropay/cobro/payment"
)

var (
	count = flag.Int("seeds", 4, "how many storms")
	first = flag.Uint64("first", 1, "the first seed")
	only  = flag.Uint64("seed", 0, "one seed alone")
	width = flag.Int("width", 3, "how many at once")

	programs rig.Programs
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(rig.WithPrograms(filepath.Join("..", ".."), &programs, m.Run))
}

// TestASeedIsASchedule says that -seed replays what failed.
func TestASeedIsASchedule(t *testing.T) {
	t.Parallel()
	once, again := plan(7), plan(7)
	require.Equal(t, once, again)
	require.NotEqual(t, plan(7), plan(8))
	for seed := range uint64(100) {
		require.GreaterOrEqual(t, len(plan(seed).Sales), 20)
	}
}

func TestSeeds(t *testing.T) {
	t.Parallel()
	seeds := []uint64{*only}
	if *only == 0 {
		seeds = nil
		for i := range uint64(*count) {
			seeds = append(seeds, *first+i)
		}
	}
	slots := make(chan struct{}, *width)
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			weather(t, plan(seed))
		})
	}
}

// weather lives through one schedule.
func weather(t *testing.T, plan schedule) {
	folder, err := os.MkdirTemp("", fmt.Sprintf("cobro-seed-%d-", plan.Seed))
	require.NoError(t, err)
	text, err := json.MarshalIndent(plan, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "schedule.json"), text, 0o600))
	s, err := rig.Start(t.Context(), programs, folder, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			keep(t, s, plan.Seed)
			s.KillAll()
			return
		}
		s.KillAll()
		require.NoError(t, os.RemoveAll(folder))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()

	shop := &shop{Merchant: rig.NewMerchant(s), sold: map[string]payment.Payment{}}
	began := time.Now()
	var life errgroup.Group
	for _, one := range plan.Sales {
		life.Go(func() error {
			if err := shop.live(ctx, one); err != nil {
				return fmt.Errorf("%s: %w", one.Key, err)
			}
			return nil
		})
	}
	life.Go(func() error { return blow(ctx, s, plan.Storms) })
	require.NoError(t, life.Wait())
	stormy := time.Since(began)

	_, _, err = s.Control(ctx, http.MethodDelete, "/_sim/faults", nil)
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	require.NoError(t, shop.elsewhere(ctx, plan.Sales))
	require.NoError(t, shop.review(ctx))
	require.NoError(t, shop.definite(ctx))
	require.NoError(t, s.Settle(ctx))
	verdict, err := s.Check(ctx, shop.Merchant, heard)
	require.NoError(t, err)
	require.GreaterOrEqual(t, verdict.Payments, 20)
	t.Logf("%.0f s, %.0f s of storm, %+v", time.Since(began).Seconds(), stormy.Seconds(), verdict)
}

// keep leaves everything that helps to understand a failure.
func keep(t *testing.T, s *rig.System, seed uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := s.Export(ctx, filepath.Join(s.Folder(), "histories"))
	_, books, bookErr := s.Control(ctx, http.MethodGet, "/_sim/books", nil)
	bookErr = errors.Join(bookErr, os.WriteFile(filepath.Join(s.Folder(), "books.json"), books, 0o600))
	t.Logf("seed %d failed: go test ./seeds -seed %d\neverything is in %s (%v)", seed, seed, s.Folder(), errors.Join(err, bookErr))
}

// wait pauses until a moment of the schedule; what is under test waits for
// nothing of it.
func wait(ctx context.Context, until time.Duration) error {
	timer := time.NewTimer(until)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// blow takes parts away, one storm after another for each part.
func blow(ctx context.Context, s *rig.System, storms []storm) error {
	var parts [4]sync.Mutex
	var all errgroup.Group
	for _, one := range storms {
		all.Go(func() error {
			if err := wait(ctx, one.At); err != nil {
				return err
			}
			for i, part := range rig.Parts() {
				if part == one.Part {
					parts[i].Lock()
					defer parts[i].Unlock()
				}
			}
			if one.Kill {
				s.Kill(one.Part)
			} else if err := s.Stop(one.Part); err != nil && one.Part != rig.Worker && one.Part != rig.API {
				return err // those two may lose their Temporal while they stop
			}
			if err := wait(ctx, one.For); err != nil {
				return err
			}
			return revive(ctx, s, one.Part)
		})
	}
	return all.Wait()
}

// revive starts a part again. One that needs a Temporal which is away just then
// gives up, as it would under any supervisor, and is started again.
func revive(ctx context.Context, s *rig.System, part rig.Part) error {
	for {
		err := s.StartPart(ctx, part)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// shop is the merchant with what he sold.
type shop struct {
	*rig.Merchant
	mu   sync.Mutex
	sold map[string]payment.Payment // by the sale's key; guarded by mu
}

func dollars(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// live is one sale from its opening to its last refund.
func (s *shop) live(ctx context.Context, one sale) error {
	if err := wait(ctx, one.At); err != nil {
		return err
	}
	if one.Create != "" {
		s.fault(ctx, rig.M{"op": "create", "fault": one.Create, "delay_ms": 1500})
	}
	request := rig.M{"total": dollars(one.Cents), "reference": one.Key, "expires_in": one.ExpiresIn}
	if one.Phone != "" {
		request["phone_number"] = one.Phone
	}
	p, opened, err := s.Open(ctx, one.Key, request)
	if err != nil || !opened || p.EcommerceID == "" {
		return err
	}
	for _, f := range one.Faults {
		s.fault(ctx, rig.M{"op": f.Op, "fault": f.Fault, "times": f.Times, "ecommerce_id": p.EcommerceID, "delay_ms": 1500})
	}
	var happening errgroup.Group
	happening.Go(func() error { return s.customer(ctx, one, p) })
	if one.Withdraw > 0 {
		happening.Go(func() error {
			if err := wait(ctx, one.Withdraw); err != nil {
				return err
			}
			_, _, err := s.Ask(ctx, http.MethodPost, "/v1/payments/"+p.ID+"/cancel", "", nil)
			return err
		})
	}
	if one.Forged {
		happening.Go(func() error { return s.forge(ctx, p) })
	}
	if err := happening.Wait(); err != nil {
		return err
	}
	if p, err = s.Await(ctx, p.ID, rig.Settled); err != nil || p.Status != payment.StatusCompleted {
		return err
	}
	s.mu.Lock()
	s.sold[one.Key] = p
	s.mu.Unlock()
	return s.giveBack(ctx, one, p)
}

// fault orders a fault. A simulator that is away just then has none.
func (s *shop) fault(ctx context.Context, order rig.M) { _ = s.System.Fault(ctx, order) }

// customer decides; a phone that finds the gateway away tries again.
func (s *shop) customer(ctx context.Context, one sale, p payment.Payment) error {
	if err := wait(ctx, one.After); err != nil {
		return err
	}
	if one.Phone == "" {
		if _, _, err := s.Ask(ctx, http.MethodPut, "/v1/payments/"+p.ID+"/phone-number", one.Key, rig.M{"phone_number": "7875570000"}); err != nil {
			return err
		}
	}
	if one.Decision == "ignore" {
		return nil
	}
	for s.System.Phone(ctx, one.Decision, p.EcommerceID) != nil {
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// forge posts what nobody paid for.
func (s *shop) forge(ctx context.Context, p payment.Payment) error {
	return s.Post(ctx, rig.M{
		"transactionType": "ECOMMERCE", "status": "COMPLETED", "ecommerceId": p.EcommerceID, "referenceNumber": "forged-" + p.ID,
		"date": "2026-01-02 03:04:05", "total": 1, "subTotal": 1, "name": "Mallory", "phoneNumber": 7875559999, "email": "m@example.com",
	})
}

// giveBack asks for all of the sale's refunds at once, and for each several
// times.
func (s *shop) giveBack(ctx context.Context, one sale, p payment.Payment) error {
	// One that nobody knows is in the way of the others, for as long as nobody
	// looks into it.
	patient, impatient := context.WithCancel(ctx)
	defer impatient()
	var asking errgroup.Group
	for _, back := range one.Refunds {
		if back.Fault != "" {
			s.fault(ctx, rig.M{"op": "refund", "fault": back.Fault, "ecommerce_id": p.EcommerceID, "delay_ms": 1500})
		}
		for range back.Times {
			asking.Go(func() error {
				r, _, err := s.Refund(patient, p.ID, back.Key, dollars(back.Cents))
				if r.NeedsReview {
					impatient()
				}
				if patient.Err() != nil {
					return ctx.Err()
				}
				return err
			})
		}
	}
	return asking.Wait()
}

// elsewhere makes refunds in the ATH Business app.
func (s *shop) elsewhere(ctx context.Context, sales []sale) error {
	for _, one := range sales {
		p, ok := s.sold[one.Key]
		if !ok {
			continue
		}
		for _, cents := range one.Elsewhere {
			// One that exceeds what is left is refused, and that is all right.
			_, _, err := s.System.Control(ctx, http.MethodPost, "/_sim/external-refunds",
				rig.M{"ecommerce_id": p.EcommerceID, "amount": dollars(cents)})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// definite waits until no payment is in review: the gateway answers again, so
// each must end by itself, and its refunds add up to what the gateway says.
func (s *shop) definite(ctx context.Context) error {
	for _, id := range s.Promised() {
		p, err := s.Await(ctx, id, rig.Ended)
		if err != nil || p.Status != payment.StatusCompleted {
			if err != nil {
				return err
			}
			continue
		}
		var ticket struct{ Refunded string }
		_, answer, err := s.System.Control(ctx, http.MethodGet, "/_sim/tickets/"+p.EcommerceID, nil)
		if err == nil {
			err = json.Unmarshal(answer, &ticket)
		}
		if err == nil {
			_, err = s.Await(ctx, id, func(p payment.Payment) bool { return p.RefundedAmount.String() == ticket.Refunded })
		}
		if err != nil {
			return fmt.Errorf("ATH Móvil refunded %s of %s: %w", ticket.Refunded, id, err)
		}
	}
	return nil
}

// review is the person who looks into every doubt: the gateway's own list of
// refunds tells which of ours were executed.
func (s *shop) review(ctx context.Context) error {
	for _, p := range s.sold {
		refunds, err := s.refunds(ctx, p.ID)
		if err != nil {
			return err
		}
		for _, r := range refunds {
			if !r.NeedsReview {
				continue
			}
			verdict, err := s.look(ctx, p, r, refunds)
			if err != nil {
				return err
			}
			// A word that is not taken comes too late: the gateway was quicker.
			if _, err := s.Review(ctx, p.ID, r.ID, verdict); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shop) refunds(ctx context.Context, paymentID string) ([]payment.Refund, error) {
	_, answer, err := s.Ask(ctx, http.MethodGet, "/v1/payments/"+paymentID+"/refunds", "", nil)
	if err != nil {
		return nil, err
	}
	var listed struct{ Refunds []payment.Refund }
	return listed.Refunds, json.Unmarshal(answer, &listed)
}

// look compares the gateway's list with ours.
func (s *shop) look(ctx context.Context, p payment.Payment, doubtful payment.Refund, ours []payment.Refund) (payment.Verdict, error) {
	var ticket struct {
		Refunds []struct {
			Amount   string `json:"amount"`
			External bool   `json:"external"`
		}
	}
	_, answer, err := s.System.Control(ctx, http.MethodGet, "/_sim/tickets/"+p.EcommerceID, nil)
	if err == nil {
		err = json.Unmarshal(answer, &ticket)
	}
	if err != nil {
		return "", err
	}
	executed, known := 0, 0
	for _, r := range ticket.Refunds {
		if !r.External && r.Amount == doubtful.Amount.String() {
			executed++
		}
	}
	for _, r := range ours {
		if r.Source == payment.SourceAPI && r.Amount == doubtful.Amount && r.Status == payment.RefundCompleted {
			known++
		}
	}
	if executed > known {
		return payment.VerdictCompleted, nil
	}
	return payment.VerdictNotExecuted, nil
}
