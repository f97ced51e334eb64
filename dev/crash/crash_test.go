package crash

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/dev/rig"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/payment"
)

var (
	long = flag.Bool("long", false, "die at each point several times over")
	keep = flag.Bool("keep", false, "keep the folders")

	programs rig.Programs
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(rig.WithPrograms(filepath.Join("..", ".."), &programs, m.Run))
}

// start starts a system whose folder is kept where the test fails.
func start(t *testing.T, env map[rig.Part][]string) *rig.System {
	t.Helper()
	folder, err := os.MkdirTemp("", "cobro-crash-run-")
	require.NoError(t, err)
	s, err := rig.Start(t.Context(), programs, folder, env)
	require.NoError(t, err)
	t.Cleanup(func() {
		s.KillAll()
		if t.Failed() || *keep {
			t.Logf("kept for a look: %s", folder)
			return
		}
		require.NoError(t, os.RemoveAll(folder))
	})
	return s
}

// TestCrashMatrix dies at every point in the middle of everything that
// merchants and customers do, starts again, and checks the invariants.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	times := 1
	if *long {
		times = 4
	}
	slots := make(chan struct{}, 3)
	for _, point := range failpoint.Points() {
		for n := 1; n <= times; n++ {
			t.Run(fmt.Sprintf("%s@%d", point, n), func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				die(t, point, n)
			})
		}
	}
}

// die tours with one point armed.
func die(t *testing.T, point failpoint.Point, times int) {
	part := rig.Worker
	if point.InAPI() {
		part = rig.API
	}
	mark := filepath.Join(t.TempDir(), "died")
	s := start(t, map[rig.Part][]string{part: {
		fmt.Sprintf("COBRO_FAILPOINT=%s@%d", point, times), "COBRO_FAILPOINT_MARK=" + mark,
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	nursing, stopNursing := context.WithCancel(ctx)
	nurse := make(chan error, 1)
	go func() { nurse <- s.Nurse(nursing, part) }() // received below

	verdict := tour(ctx, t, s)
	stopNursing()
	require.NoError(t, <-nurse)
	if _, err := os.Stat(mark); times == 1 {
		require.NoError(t, err, "nobody died: the tour does not pass the point")
	} else if err != nil {
		t.Logf("the point is passed fewer than %d times", times)
	}
	t.Logf("%+v", verdict)
}

// tour does everything once, as merchants and customers do: a sale with a
// refund, one that the customer cancels, one that nobody confirms, one that
// the merchant cancels, one whose phone is given later, and a refund made
// elsewhere.
func tour(ctx context.Context, t *testing.T, s *rig.System) rig.Verdict {
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()
	m := rig.NewMerchant(s)
	var steps errgroup.Group
	for name, step := range map[string]func(context.Context, *rig.Merchant) error{
		"sale": sale, "cancelled": cancelled, "expired": expired, "withdrawn": withdrawn, "phone": phone, "elsewhere": elsewhere,
	} {
		steps.Go(func() error {
			if err := step(ctx, m); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	require.NoError(t, steps.Wait())
	require.NoError(t, s.Settle(ctx))
	verdict, err := s.Check(ctx, m, heard)
	require.NoError(t, err)
	return verdict
}

// open opens a payment of five dollars.
func open(ctx context.Context, m *rig.Merchant, key string, more rig.M) (payment.Payment, error) {
	request := rig.M{"total": "5.00", "reference": key}
	for name, value := range more {
		request[name] = value
	}
	p, ok, err := m.Open(ctx, key, request)
	if err == nil && !ok {
		err = fmt.Errorf("%s was refused", key)
	}
	return p, err
}

// paid is a completed payment of five dollars.
func paid(ctx context.Context, m *rig.Merchant, key string, more rig.M) (payment.Payment, error) {
	p, err := open(ctx, m, key, more)
	if err != nil {
		return p, err
	}
	return confirmed(ctx, m, p)
}

// confirmed confirms until the payment is settled: a killed process may have
// kept the customer waiting.
func confirmed(ctx context.Context, m *rig.Merchant, p payment.Payment) (payment.Payment, error) {
	if err := m.System.Phone(ctx, "confirm", p.EcommerceID); err != nil {
		return p, err
	}
	p, err := m.Await(ctx, p.ID, rig.Ended)
	if err == nil && p.Status != payment.StatusCompleted {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return p, err
}

func sale(ctx context.Context, m *rig.Merchant) error {
	p, err := paid(ctx, m, "sale", rig.M{"phone_number": "7875551001"})
	if err != nil {
		return err
	}
	for _, key := range []string{"back-1", "back-2", "back-1"} {
		r, made, err := m.Refund(ctx, p.ID, key, "1.00")
		if err == nil && r.NeedsReview {
			// Nobody knows whether a process that died had sent it. A person who
			// has seen that the total did not rise says so; the books then say no.
			_, err = m.Review(ctx, p.ID, r.ID, payment.VerdictNotExecuted)
		} else if err == nil && (!made || r.Status == payment.RefundPending) {
			err = fmt.Errorf("made %t, %s", made, r.Status)
		}
		if err != nil {
			return fmt.Errorf("refund %s: %w", key, err)
		}
	}
	return nil
}

func cancelled(ctx context.Context, m *rig.Merchant) error {
	p, err := open(ctx, m, "cancelled", rig.M{"phone_number": "7875551002"})
	if err != nil {
		return err
	}
	if err := m.System.Phone(ctx, "cancel", p.EcommerceID); err != nil {
		return err
	}
	p, err = m.Await(ctx, p.ID, rig.Ended)
	if err == nil && p.Status != payment.StatusCancelled {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return err
}

func expired(ctx context.Context, m *rig.Merchant) error {
	p, err := open(ctx, m, "expired", rig.M{"phone_number": "7875550200", "expires_in": 1})
	if err != nil {
		return err
	}
	p, err = m.Await(ctx, p.ID, rig.Ended)
	if err == nil && p.Status != payment.StatusExpired {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return err
}

func withdrawn(ctx context.Context, m *rig.Merchant) error {
	p, err := open(ctx, m, "withdrawn", nil)
	if err != nil {
		return err
	}
	if _, _, err := m.Ask(ctx, "POST", "/v1/payments/"+p.ID+"/cancel", "", nil); err != nil {
		return err
	}
	p, err = m.Await(ctx, p.ID, rig.Ended)
	if err == nil && p.Status != payment.StatusCancelled {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return err
}

func phone(ctx context.Context, m *rig.Merchant) error {
	p, err := open(ctx, m, "phone", nil)
	if err != nil {
		return err
	}
	// Whether the number was taken may stay unknown; the payment goes on.
	if _, _, err := m.Ask(ctx, "PUT", "/v1/payments/"+p.ID+"/phone-number", "phone", rig.M{"phone_number": "7875551003"}); err != nil {
		return err
	}
	_, err = confirmed(ctx, m, p)
	return err
}

func elsewhere(ctx context.Context, m *rig.Merchant) error {
	p, err := paid(ctx, m, "elsewhere", rig.M{"phone_number": "7875551004"})
	if err != nil {
		return err
	}
	_, _, err = m.System.Control(ctx, "POST", "/_sim/external-refunds", rig.M{"ecommerce_id": p.EcommerceID, "amount": "2.00"})
	if err != nil {
		return err
	}
	_, err = m.Await(ctx, p.ID, func(p payment.Payment) bool { return p.RefundedAmount.String() == "2.00" })
	return err
}

// TestStopUnderLoad ends every process by SIGTERM while payments are under way,
// starts it again, and asks that nothing was lost: whatever was answered is
// kept, and what was not answered is settled by asking again.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	sales, patience := 40, 3*time.Minute
	if *long {
		sales, patience = 400, 20*time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()

	m := rig.NewMerchant(s)
	var load errgroup.Group
	load.SetLimit(8)
	done := make(chan struct{})
	go func() { // ends with the load, and closes done
		defer close(done)
		for i := range sales {
			load.Go(func() error {
				key := fmt.Sprintf("load-%d", i)
				p, err := paid(ctx, m, key, rig.M{"phone_number": fmt.Sprintf("787555%04d", 2000+i)})
				if err != nil {
					return err
				}
				_, made, err := m.Refund(ctx, p.ID, key, "1.00")
				if err == nil && !made {
					err = fmt.Errorf("refund of %s was refused", p.ID)
				}
				return err
			})
		}
	}()
	stops := 0
	for under := true; under; {
		for _, part := range []rig.Part{rig.API, rig.Worker} {
			require.NoError(t, s.Stop(part), "a graceful stop ends with code 0")
			require.NoError(t, s.StartPart(ctx, part))
			stops++
		}
		select {
		case <-done:
			under = false
		default:
		}
	}
	require.NoError(t, load.Wait())
	require.NoError(t, s.Settle(ctx))
	verdict, err := s.Check(ctx, m, heard)
	require.NoError(t, err)
	require.Equal(t, sales, verdict.Completed)
	require.Equal(t, sales, verdict.Refunds)
	t.Logf("%d stops; %+v", stops, verdict)
}

// TestTheRigKills says that a part that was killed is really dead, and that its
// nurse brings it back: a matrix without deaths would prove nothing.
func TestTheRigKills(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	var nurse sync.WaitGroup
	nurse.Go(func() { _ = s.Nurse(ctx, rig.Worker) })
	first := s.Ended(rig.Worker)
	s.Kill(rig.Worker)
	<-first
	require.Eventually(t, func() bool { return s.Ended(rig.Worker) != first }, time.Minute, 20*time.Millisecond)
	select {
	case <-s.Ended(rig.Worker):
		require.Fail(t, "the new one is dead")
	default:
	}
	stop()
	nurse.Wait()
}
