package poller_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/poller"
	"github.com/cobropay/cobro/private"
)

// BenchmarkOpenTickets looks for ten seconds at tickets that stay open, with the
// pauses of production and a gateway over HTTP that takes 100 ms:
//
//	go test -run '^$' -bench OpenTickets -benchtime 1x ./internal/poller
func BenchmarkOpenTickets(b *testing.B) {
	const lasts = 10 * time.Second
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 200)
		n, _ := r.Body.Read(body)
		_, id, _ := strings.Cut(string(body[:n]), `"ecommerceId":"`)
		id, _, _ = strings.Cut(id, `"`)
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the gateway takes its time
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"ecommerceStatus":"OPEN","ecommerceId":%q,"total":1.00}}`, id)
	}))
	defer server.Close()
	client, err := athmovil.New(athmovil.Config{
		PublicToken: "public", PrivateToken: private.NewToken("secret"), BaseURL: server.URL, ReportBaseURL: server.URL,
	})
	require.NoError(b, err)
	for _, tickets := range []int{2_000, 10_000} {
		b.Run(fmt.Sprint(tickets), func(b *testing.B) {
			for b.Loop() {
				w := newWorld()
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				p, err := poller.New(poller.Config{
					Store: w, Gateway: &gateway.Gateway{Client: client}, Flows: w, First: time.Second, Most: 5 * time.Second, Observer: w,
				})
				require.NoError(b, err)
				for i := range tickets {
					w.row(fmt.Sprintf("pay_%d", i))
				}
				ctx, cancel := context.WithTimeout(b.Context(), lasts)
				var running sync.WaitGroup
				running.Go(func() { p.Run(ctx) })
				<-ctx.Done()
				runtime.GC()
				runtime.ReadMemStats(&after)
				running.Wait()
				cancel()
				so := w.so()
				b.ReportMetric(float64(len(so.outcomes))/lasts.Seconds(), "looks/s")
				b.ReportMetric(float64(tally(so.outcomes)[string(poller.LookFailed)]), "failed")
				b.ReportMetric(so.late.Seconds(), "s-late-at-most")
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(tickets)/1024, "kB/ticket")
				b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
			}
		})
	}
}
