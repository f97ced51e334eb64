package deployment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// alert is a rule of deploy/prometheus/alerts.yml.
type alert struct {
	Alert string
	Expr  string
	For   time.Duration
}

func alerts(t *testing.T) []alert {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "deploy/prometheus/alerts.yml"))
	require.NoError(t, err)
	var file struct{ Groups []struct{ Rules []alert } }
	require.NoError(t, yaml.Unmarshal(source, &file))
	var all []alert
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// fires evaluates an alert each minute, as Prometheus does, and reports whether
// it was ever true for as long as it asks. series are in the notation of
// Prometheus' own tests, one sample a minute: "0x5 1x3" is six times 0 and four
// times 1, "0+2x3" is 0 2 4 6, "stale" is a scrape that found it gone, and "_" is
// none.
func (a alert) fires(t *testing.T, series []string) bool {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n  "+strings.Join(series, "\n  ")+"\n")
	defer func() { require.NoError(t, storage.Close()) }()
	const lookback, most = 5 * time.Minute, 100_000 // Prometheus' own lookback, and more samples than there are
	engine := promqltest.NewTestEngine(t, false, lookback, most)
	from, until := time.UnixMilli(0), time.UnixMilli(storage.Head().MaxTime())
	query, err := engine.NewRangeQuery(t.Context(), storage, nil, a.Expr, from, until, time.Minute)
	require.NoError(t, err)
	defer query.Close()
	result := query.Exec(t.Context())
	require.NoError(t, result.Err)
	matrix, err := result.Matrix()
	require.NoError(t, err)
	for _, one := range matrix {
		if longest(one.Floats) >= a.For {
			return true
		}
	}
	return false
}

// longest is the longest time through which there is a point each minute.
func longest(points []promql.FPoint) time.Duration {
	var most, since time.Duration
	for i, point := range points {
		if i > 0 && point.T-points[i-1].T == time.Minute.Milliseconds() {
			since += time.Minute
		} else {
			since = 0
		}
		most = max(most, since)
	}
	return most
}

// TestAlertsFireOnlyOnTheirCondition evaluates every alert on what it is for, and
// on what happens in every installation.
func TestAlertsFireOnlyOnTheirCondition(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fires  []string
		silent map[string][]string
	}{
		"CobroNeedsReview": {
			[]string{`cobro_reviews_open{subject="payment"} 0x5 1x15`},
			map[string][]string{
				"none":                   {`cobro_reviews_open{subject="payment"} 0x60`, `cobro_reviews_open{subject="refund"} 0x60`},
				"one that settles early": {`cobro_reviews_open{subject="payment"} 0x5 1x8 0x30`},
			},
		},
		"CobroUnknownOutcomes": {
			[]string{`cobro_unknown_outcomes_total{operation="authorize"} 0x20 1x5`},
			map[string][]string{
				"an idle system": {`cobro_unknown_outcomes_total{operation="authorize"} 3x60`},
				"a restart":      {`cobro_unknown_outcomes_total{operation="authorize"} 3x20 stale 0x30`},
			},
		},
		"CobroNotificationsFailed": {
			[]string{`cobro_notifications{host="shop", event="payment_completed", receiver="book", status="failed"} 1x10`},
			map[string][]string{
				"pending ones": {`cobro_notifications{host="shop", status="pending"} 5x60`},
				"a receiver that was removed": {
					`cobro_notifications{host="shop", status="failed"} 1x3 0x60`, `cobro_notifications{host="shop", status="dropped"} 0x3 1x60`,
				},
			},
		},
		"CobroWebhooksPending": {
			[]string{`cobro_webhooks_oldest_pending_seconds 0+60x15`},
			map[string][]string{
				"none":      {`cobro_webhooks_oldest_pending_seconds 0x60`},
				"a restart": {`cobro_webhooks_oldest_pending_seconds 0x10 60 120 180 240 300 360 0x30`},
			},
		},
		"CobroGatewayDown": {
			[]string{`cobro_gateway_calls_total{outcome="ok"} 0+1x20`, `cobro_gateway_calls_total{outcome="unavailable"} 0+5x20`},
			map[string][]string{
				"an idle system": {`cobro_gateway_calls_total{outcome="ok"} 70x60`, `cobro_gateway_calls_total{outcome="unknown"} 100x60`},
				"a few":          {`cobro_gateway_calls_total{outcome="ok"} 0+5x60`, `cobro_gateway_calls_total{outcome="unknown"} 0+1x60`},
				"a bad minute":   {`cobro_gateway_calls_total{outcome="ok"} 0+1x40`, `cobro_gateway_calls_total{outcome="unknown"} 0x10 20x30`},
				"refusals":       {`cobro_gateway_calls_total{outcome="ok"} 0+1x60`, `cobro_gateway_calls_total{outcome="declined"} 0+9x60`},
				"a restart": {
					`cobro_gateway_calls_total{outcome="ok"} 50+5x20 stale 0+5x30`, `cobro_gateway_calls_total{outcome="unavailable"} 900x20 stale 0x30`,
				},
			},
		},
		"CobroGatewayRefusesTokens": {
			[]string{`cobro_gateway_calls_total{outcome="authentication"} 0x15 1x5`},
			map[string][]string{
				"an idle system": {`cobro_gateway_calls_total{outcome="authentication"} 4x60`},
				"a restart":      {`cobro_gateway_calls_total{outcome="authentication"} 4x20 stale 0x30`},
				"other outcomes": {`cobro_gateway_calls_total{outcome="ok"} 0+7x60`, `cobro_gateway_calls_total{outcome="declined"} 0+7x60`},
			},
		},
		"CobroNoReconciliation": { // a day has 1440 minutes
			[]string{`cobro_last_reconciliation_timestamp_seconds 0x1600`},
			map[string][]string{
				"one a day":   {`cobro_last_reconciliation_timestamp_seconds 0x1439 86400x1439 172800x300`},
				"a late one":  {`cobro_last_reconciliation_timestamp_seconds 0x1565 93960x60`},
				"none so far": {`cobro_store_up 1x1600`}, // the next alert's
			},
		},
		"CobroNeverReconciled": {
			[]string{`cobro_store_up 1x1600`},
			map[string][]string{
				"the first day":   {`cobro_store_up 1x1500`},
				"one long ago":    {`cobro_store_up 1x1600`, `cobro_last_reconciliation_timestamp_seconds 0x1600`},
				"no word from it": {`cobro_store_up 0x1600`},
			},
		},
		"CobroWorkerAway": {
			[]string{
				`cobro_build_info{program="worker"} 1x5 stale _x9`, `cobro_build_info{program="api"} 1x15`,
				`cobro_build_info{program="receivers"} 1x15`, // a merchant's own takes no payment further
			},
			map[string][]string{
				"one of two":    {`cobro_build_info{program="worker", instance="a"} 1x5 stale _x19`, `cobro_build_info{program="worker", instance="b"} 1x25`},
				"a restart":     {`cobro_build_info{program="worker"} 1x10 stale 1x20`},
				"a new version": {`cobro_build_info{program="worker", version="1"} 1x10 stale _x20`, `cobro_build_info{program="worker", version="2"} _x12 1x20`},
			},
		},
		"CobroAPIAway": {
			[]string{`cobro_build_info{program="api"} 1x5 stale _x9`, `cobro_build_info{program="worker"} 1x15`},
			map[string][]string{
				"one of two": {`cobro_build_info{program="api", instance="a"} 1x5 stale _x19`, `cobro_build_info{program="api", instance="b"} 1x25`},
				"a restart":  {`cobro_build_info{program="api"} 1x10 stale 1x20`},
			},
		},
		"CobroStoreDown": {
			[]string{`cobro_store_up{instance="api"} 1x10`, `cobro_store_up{instance="worker"} 1x5 0x5`},
			map[string][]string{
				"all is well":         {`cobro_store_up{instance="api"} 1x30`, `cobro_store_up{instance="worker"} 1x30`},
				"a restart":           {`cobro_store_up{instance="api"} 1x10 0 1x20`, `cobro_store_up{instance="worker"} 1x10 0 1x20`},
				"a process that went": {`cobro_store_up{instance="api"} 1x30`, `cobro_store_up{instance="worker"} 1x10 stale _x19`},
			},
		},
		"CobroWebhooksRefused": {
			[]string{`cobro_http_requests_total{route="/webhooks/athmovil/:secret", status="503"} 0x15 1x5`},
			map[string][]string{
				"an idle system": {`cobro_http_requests_total{route="/webhooks/athmovil/:secret", status="503"} 2x60`},
				"a restart":      {`cobro_http_requests_total{route="/webhooks/athmovil/:secret", status="503"} 2x20 stale 0x30`},
				"kept ones":      {`cobro_http_requests_total{route="/webhooks/athmovil/:secret", status="200"} 0+5x60`},
				"other routes":   {`cobro_http_requests_total{route="/v1/payments", status="503"} 0+5x60`},
			},
		},
	}
	rules := alerts(t)
	require.Len(t, tests, len(rules), "each alert has a case")
	for _, rule := range rules {
		t.Run(rule.Alert, func(t *testing.T) {
			t.Parallel()
			tt, ok := tests[rule.Alert]
			require.True(t, ok)
			require.True(t, rule.fires(t, tt.fires))
			for what, series := range tt.silent {
				require.False(t, rule.fires(t, series), what)
			}
		})
	}
}
