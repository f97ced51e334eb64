package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/store/postgrestest"
)

var (
	long = flag.Bool("long", false, "die at each point several times over")
	keep = flag.Bool("keep", false, "keep the folders")

	programs testcluster.Programs
)

func TestMain(m *testing.M) {
	os.Exit(testcluster.WithPrograms(&programs, m.Run))
}

// limit ends a test that is stuck.
func limit() time.Duration {
	if *long {
		return 40 * time.Minute
	}
	return 10 * time.Minute
}

// lanes is how many clusters run at once: most of the time they wait until
// Temporal notices a dead worker.
const lanes = 3

// startPostgres starts a server for all clusters of a test.
func startPostgres(t *testing.T) *postgrestest.Server {
	t.Helper()
	server, err := postgrestest.Start(t.Context(), postgrestest.Config{Settings: testcluster.PostgresSettings()})
	if errors.Is(err, postgrestest.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// startCluster starts a cluster whose folder is kept if the test fails.
func startCluster(t *testing.T, server *postgrestest.Server, name string) *testcluster.System {
	t.Helper()
	require.NoError(t, server.Create(t.Context(), name, ""))
	s, err := testcluster.StartCluster(t.Context(), programs, testcluster.Folder(t, *keep), nil, testcluster.Cluster{Store: server.DSN(name), TemporalStore: server.DSN(name + "_temporal")})
	require.NoError(t, err)
	t.Cleanup(s.KillAll)
	return s
}

// TestSecondProcessTakesOver kills one API or one worker at every failpoint while
// all scenarios run. It is not started again: the other one has to finish.
func TestSecondProcessTakesOver(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	times := 1
	if *long {
		times = 3
	}
	var crashes []string
	for n := 1; n <= times; n++ {
		for _, point := range failpoint.Points() {
			crashes = append(crashes, fmt.Sprintf("%s@%d", point, n))
		}
	}
	for lane := range lanes {
		var mine []string
		for i, crash := range crashes {
			if i%lanes == lane {
				mine = append(mine, crash)
			}
		}
		t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
			t.Parallel()
			surviveCrashes(t, startCluster(t, server, fmt.Sprintf("lane_%d", lane)), mine)
		})
	}
}

// surviveCrashes goes through one crash after another.
func surviveCrashes(t *testing.T, s *testcluster.System, crashes []string) {
	ctx, cancel := context.WithTimeout(t.Context(), limit())
	defer cancel()
	m := testcluster.NewMerchant(s)
	defer m.Listen(ctx)()
	var counts testcluster.Counts
	for _, crash := range crashes {
		began := time.Now()
		mark := filepath.Join(t.TempDir(), "killed")
		pair := []testcluster.Part{testcluster.Worker, testcluster.Worker2}
		if name, _, _ := strings.Cut(crash, "@"); failpoint.Point(name).InAPI() {
			pair = []testcluster.Part{testcluster.API, testcluster.API2}
		}
		for _, part := range pair { // the first to reach the point dies; the other one finds the mark
			s.Kill(part)
			s.Use(part, programs, "COBRO_FAILPOINT="+crash, "COBRO_FAILPOINT_MARK="+mark)
		}
		require.NoError(t, s.StartAll(ctx, pair...))
		require.NoError(t, m.RunScenarios(ctx, crash+"-"), crash)
		var err error
		counts, err = m.Check(ctx)
		require.NoError(t, err, crash)
		dead := 0
		for _, part := range pair {
			if s.HasEnded(part) {
				dead++
			}
		}
		if _, err := os.Stat(mark); !*long {
			require.NoError(t, err, "%s: nothing was killed: the scenarios do not reach the point", crash)
			require.Equal(t, 1, dead, "%s: one of two is killed", crash)
		}
		t.Logf("%-22s %4.1f s", crash, time.Since(began).Seconds())
	}
	t.Logf("%d crashes: %+v", len(crashes), counts)
}

// TestRecoversFromEveryOutageUnderLoad takes each part away in turn while payments
// and refunds are in progress: the APIs, the workers, PostgreSQL and Temporal.
func TestRecoversFromEveryOutageUnderLoad(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	s := startCluster(t, server, "cobro")
	ctx, cancel := context.WithTimeout(t.Context(), limit())
	defer cancel()

	m := testcluster.NewMerchant(s)
	defer m.Listen(ctx)()
	sales := 60
	if *long {
		sales = 600
	}
	load := m.SellUnderLoad(ctx, sales, 6)
	restart := func(part testcluster.Part) func() error {
		return func() error {
			s.Kill(part)
			return s.StartPart(ctx, part)
		}
	}
	outages := []struct {
		name string
		run  func() error
	}{
		{"an API", restart(testcluster.API)},
		{"a worker", restart(testcluster.Worker)},
		{"PostgreSQL", func() error { return server.Restart(ctx) }},
		{"the other worker", restart(testcluster.Worker2)},
		{"Temporal", restart(testcluster.Temporal)},
		{"the other API", restart(testcluster.API2)},
	}
	count := 0
	for loaded := true; loaded || count < len(outages); count++ {
		one := outages[count%len(outages)]
		require.NoError(t, one.run(), one.name)
		select {
		case err := <-load: // once
			require.NoError(t, err)
			loaded = false
		case <-time.After(time.Second): // between two outages
		}
	}
	counts, err := m.Check(ctx)
	require.NoError(t, err)
	require.Equal(t, sales, counts.Completed)
	t.Logf("%d outages: %+v", count, counts)
	requireNothingPrivate(ctx, t, s, server.Folder())
}

// requireNothingPrivate scans every byte that PostgreSQL keeps of our database and
// of Temporal's, and every log, for keys, tokens and personal data.
func requireNothingPrivate(ctx context.Context, t *testing.T, s *testcluster.System, postgres string) {
	t.Helper()
	scanner := testcluster.NewSecretScanner("ProcessPayment", "payment_completed", `"msg":"api started"`)
	scanner.Add("a key", s.Addresses().APIKey, path.Base(s.Addresses().WebhookURL), athmovilsim.DefaultPrivateToken)
	scanner.Add("an auth token", testcluster.AuthTokenPrefix)
	payments, err := scanner.AddCustomers(ctx, s.Addresses().Store, s.Addresses().KeyFile)
	require.NoError(t, err)
	require.NotZero(t, payments)
	for _, folder := range []string{postgres, s.Folder()} {
		require.NoError(t, scanner.ScanFolder(folder, testcluster.SecretFiles()...))
	}
	require.NoError(t, scanner.Leaks())
	require.NoError(t, scanner.MissingMarks())
}
