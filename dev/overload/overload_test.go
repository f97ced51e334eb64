package overload

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
)

var (
	long = flag.Bool("long", false, "a minute for each step")

	programs testcluster.Programs
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testcluster.WithPrograms(&programs, m.Run))
}

// shop is what clients ask for, and what came of it.
type shop struct {
	*testcluster.Merchant
	t *testing.T

	mu       sync.Mutex
	accepted map[string]ends  // by id; guarded by mu
	newest   payment.Payment  // guarded by mu
	refused  int              // creates that were answered 503; guarded by mu
	statuses map[string][]int // answers by request, in the current step; guarded by mu
}

// ends lists how a payment may end besides completed.
type ends []payment.Status

// request makes request number n: a quarter are new payments, which the customer
// confirms, an eighth each are webhooks and cancels, and half are reads.
func (s *shop) request(ctx context.Context, n int) error {
	s.mu.Lock()
	newest := s.newest
	s.mu.Unlock()
	switch path := "/v1/payments/" + newest.ID; {
	case n%4 == 0:
		return s.sell(ctx, n)
	case newest.ID == "":
		return s.ask(ctx, "list", http.MethodGet, "/v1/payments")
	case n%8 == 1:
		return s.Post(ctx, testcluster.M{
			"transactionType": "ECOMMERCE", "status": "COMPLETED", "ecommerceId": newest.EcommerceID,
			"referenceNumber": fmt.Sprint(n), "total": 5,
		})
	case n%8 == 5:
		s.mu.Lock()
		s.accepted[newest.ID] = ends{payment.StatusCancelled}
		s.mu.Unlock()
		return s.ask(ctx, "cancel", http.MethodPost, path+"/cancel")
	default:
		return s.ask(ctx, "show", http.MethodGet, path)
	}
}

func (s *shop) ask(ctx context.Context, name, method, path string) error {
	status, _, err := s.Once(ctx, method, path, "", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses[name] = append(s.statuses[name], status)
	return err
}

// sell asks for a payment once, as somebody does who does not come back.
func (s *shop) sell(ctx context.Context, n int) error {
	key := fmt.Sprintf("overload-%d", n)
	status, answer, err := s.Once(ctx, http.MethodPost, "/v1/payments", key,
		testcluster.M{"total": "5.00", "reference": key, "expires_in": 30, "phone_number": fmt.Sprintf("787%07d", 5000000+n)})
	if err != nil {
		return err
	}
	var p payment.Payment
	if status < 300 {
		if err := json.Unmarshal(answer, &p); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.statuses["create"] = append(s.statuses["create"], status)
	switch {
	case status == http.StatusServiceUnavailable:
		s.refused++
	case status == http.StatusAccepted: // nobody looks after it
		s.accepted[p.ID] = ends{payment.StatusExpired}
	case status < 300:
		s.accepted[p.ID] = nil
	}
	if p.Status == payment.StatusOpen {
		s.newest = p
	}
	s.mu.Unlock()
	if p.Status != payment.StatusOpen {
		return nil
	}
	return s.System.Phone(ctx, "confirm", p.EcommerceID)
}

// step offers requests at a rate, whether or not they are answered, and returns
// how many payments were accepted, and how many refused.
func (s *shop) step(ctx context.Context, first, perSecond int, lasting time.Duration) (accepted, refused int) {
	s.mu.Lock()
	accepted, refused, s.statuses = -len(s.accepted), -s.refused, map[string][]int{}
	s.mu.Unlock()
	ticks := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticks.Stop()
	var requests sync.WaitGroup
	for n := range int(lasting.Seconds()) * perSecond {
		<-ticks.C
		requests.Go(func() {
			if err := s.request(ctx, first+n); err != nil {
				s.t.Errorf("request %d: %v", first+n, err)
			}
		})
	}
	requests.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, statuses := range s.statuses {
		for _, status := range statuses {
			if status >= 500 && (name != "create" || status != http.StatusServiceUnavailable) {
				s.t.Errorf("%d requests a second: %s was answered %d", perSecond, name, status)
			}
		}
	}
	return accepted + len(s.accepted), refused + s.refused
}

// ended waits until a payment has ended. One that was answered with 202 may not be
// stored yet.
func (s *shop) ended(ctx context.Context, id string) (p payment.Payment) {
	s.t.Helper()
	require.NoError(s.t, testcluster.Poll(ctx, 100*time.Millisecond, func() (bool, error) {
		status, answer, err := s.Once(ctx, http.MethodGet, "/v1/payments/"+id, "", nil)
		if err != nil || status != http.StatusOK {
			return false, err
		}
		err = json.Unmarshal(answer, &p)
		return p.Status.Terminal(), err
	}))
	return p
}

// refusedEarly reads how many payments the API says that it refused before
// anything was kept.
func (s *shop) refusedEarly(ctx context.Context) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.System.Addresses().Ops+"/metrics", http.NoBody)
	require.NoError(s.t, err)
	response, err := (&http.Client{}).Do(request)
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	found := regexp.MustCompile(`(?m)^cobro_payment_creates_refused_total (\d+)`).FindStringSubmatch(string(body))
	require.NotNil(s.t, found)
	n, err := strconv.Atoi(found[1])
	require.NoError(s.t, err)
	return n
}

// TestOverload: no payment is accepted that cannot be begun, no other request
// suffers, and what was accepted ends well.
func TestOverload(t *testing.T) {
	lasting := 3 * time.Second
	if *long {
		lasting = time.Minute
	}
	system, err := testcluster.Start(t.Context(), programs, t.TempDir(), nil)
	require.NoError(t, err)
	t.Cleanup(system.KillAll)
	s := &shop{Merchant: testcluster.NewMerchant(system), t: t, accepted: map[string]ends{}}

	var rates []float64
	first := 0
	for _, perSecond := range []int{50, 100, 200, 400} {
		accepted, refused := s.step(t.Context(), first, perSecond, lasting)
		first += int(lasting.Seconds()) * perSecond
		rates = append(rates, float64(accepted)/lasting.Seconds())
		t.Logf("%d requests a second: %d payments accepted, %d refused", perSecond, accepted, refused)
	}
	early := s.refusedEarly(t.Context())
	t.Logf("%d refused before anything was kept, %d because Temporal did not answer in time", early, s.refused-early)
	require.LessOrEqual(t, early, s.refused)
	if *long { // the short form shares its machine with other tests
		require.Equal(t, early, s.refused, "every 503 was the early refusal")
		require.Greater(t, rates[len(rates)-1], slices.Max(rates)/2, "accepted a second: %v", rates)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for id, ends := range s.accepted {
		if p := s.ended(ctx, id); p.Status != payment.StatusCompleted && !slices.Contains(ends, p.Status) {
			t.Errorf("%s is %s: %+v", id, p.Status, p.Failure)
		}
	}
	require.NoError(t, system.Settle(ctx))
}
