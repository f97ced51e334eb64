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
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/dev/rig"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/store/postgrestest"
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

// limit is for what is stuck, and no measure of anything.
func limit() time.Duration {
	if *long {
		return 40 * time.Minute
	}
	return 10 * time.Minute
}

// lanes is how many clusters are killed beside each other: most of the time
// they wait for somebody to miss the dead.
const lanes = 3

// startPostgres starts a server for the whole test. It has room for a Temporal
// and four of ours for each lane.
func startPostgres(t *testing.T) *postgrestest.Server {
	t.Helper()
	server, err := postgrestest.Start(t.Context(), postgrestest.Config{Settings: rig.PostgresSettings()})
	if errors.Is(err, postgrestest.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// startCluster starts a cluster whose folder is kept where the test fails.
func startCluster(t *testing.T, server *postgrestest.Server, name string) *rig.System {
	t.Helper()
	require.NoError(t, server.Create(t.Context(), name, ""))
	s, err := rig.StartCluster(t.Context(), programs, rig.Folder(t, *keep), nil, rig.Cluster{Store: server.DSN(name), TemporalStore: server.DSN(name + "_temporal")})
	require.NoError(t, err)
	t.Cleanup(s.KillAll)
	return s
}

// TestOneOfTwoDies kills one API or one worker at every point, in the middle of
// everything that merchants and customers do. Nobody starts it again: the other
// one has to do.
func TestOneOfTwoDies(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	times := 1
	if *long {
		times = 3
	}
	var deaths []string
	for n := 1; n <= times; n++ {
		for _, point := range failpoint.Points() {
			deaths = append(deaths, fmt.Sprintf("%s@%d", point, n))
		}
	}
	for lane := range lanes {
		var mine []string
		for i, death := range deaths {
			if i%lanes == lane {
				mine = append(mine, death)
			}
		}
		t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
			t.Parallel()
			survive(t, startCluster(t, server, fmt.Sprintf("lane_%d", lane)), mine)
		})
	}
}

// survive lives through one death after another.
func survive(t *testing.T, s *rig.System, deaths []string) {
	ctx, cancel := context.WithTimeout(t.Context(), limit())
	defer cancel()
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()
	m := rig.NewMerchant(s)
	var verdict rig.Verdict
	for _, death := range deaths {
		began := time.Now()
		mark := filepath.Join(t.TempDir(), "died")
		pair := []rig.Part{rig.Worker, rig.Worker2}
		if name, _, _ := strings.Cut(death, "@"); failpoint.Point(name).InAPI() {
			pair = []rig.Part{rig.API, rig.API2}
		}
		for _, part := range pair { // whoever comes first dies, and the other one finds the mark
			s.Kill(part)
			s.Use(part, programs, "COBRO_FAILPOINT="+death, "COBRO_FAILPOINT_MARK="+mark)
		}
		require.NoError(t, s.StartAll(ctx, pair...))
		require.NoError(t, m.Tour(ctx, death+"-"), death)
		require.NoError(t, s.Settle(ctx), death)
		var err error
		verdict, err = s.Check(ctx, m, heard)
		require.NoError(t, err, death)
		dead := 0
		for _, part := range pair {
			select {
			case <-s.Ended(part):
				dead++
			default:
			}
		}
		if _, err := os.Stat(mark); !*long {
			require.NoError(t, err, "%s: nobody died: the tour does not pass the point", death)
			require.Equal(t, 1, dead, "%s: one of two dies", death)
		}
		t.Logf("%-22s %4.1f s", death, time.Since(began).Seconds())
	}
	t.Logf("%d deaths: %+v", len(deaths), verdict)
}

// TestEverythingDies takes everything away in turn while payments and refunds
// are under way: an API, a worker, PostgreSQL, Temporal, and the other two.
func TestEverythingDies(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	s := startCluster(t, server, "cobro")
	ctx, cancel := context.WithTimeout(t.Context(), limit())
	defer cancel()
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()

	m := rig.NewMerchant(s)
	sales := 60
	if *long {
		sales = 600
	}
	var load errgroup.Group
	load.SetLimit(6)
	done := make(chan struct{})
	go func() { // ends with the load, and closes done
		defer close(done)
		for i := range sales {
			load.Go(func() error {
				key := fmt.Sprintf("load-%d", i)
				p, err := m.Paid(ctx, key, rig.M{"phone_number": fmt.Sprintf("787555%04d", 2000+i)})
				if err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
				r, made, err := m.Refund(ctx, p.ID, key, "1.00")
				if err == nil && r.NeedsReview { // nobody knows whether the one that died had sent it
					_, err = m.Review(ctx, p.ID, r.ID, "not_executed")
				} else if err == nil && !made {
					err = errors.New("the refund was refused")
				}
				if err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
				return nil
			})
		}
	}()
	dead := func(part rig.Part) func() error {
		return func() error {
			s.Kill(part)
			return s.StartPart(ctx, part)
		}
	}
	blows := []struct {
		name string
		blow func() error
	}{
		{"an API", dead(rig.API)},
		{"a worker", dead(rig.Worker)},
		{"PostgreSQL", func() error { return server.Restart(ctx) }},
		{"the other worker", dead(rig.Worker2)},
		{"Temporal", dead(rig.Temporal)},
		{"the other API", dead(rig.API2)},
	}
	count := 0
	for under := true; under || count < len(blows); count++ {
		one := blows[count%len(blows)]
		require.NoError(t, one.blow(), one.name)
		select {
		case <-done:
			under = false
		case <-time.After(time.Second): // of calm between two blows
		}
	}
	require.NoError(t, load.Wait())
	require.NoError(t, s.Settle(ctx))
	verdict, err := s.Check(ctx, m, heard)
	require.NoError(t, err)
	require.Equal(t, sales, verdict.Completed)
	t.Logf("%d blows: %+v", count, verdict)
	requireNothingPrivate(ctx, t, s, server.Folder())
}

// requireNothingPrivate looks for keys, tokens and who paid in every byte that
// PostgreSQL keeps of our database and of Temporal's, and in every log.
func requireNothingPrivate(ctx context.Context, t *testing.T, s *rig.System, postgres string) {
	t.Helper()
	search := rig.NewSearch("ProcessPayment", "payment_completed", `"msg":"api started"`)
	search.For("a key", s.At().APIKey, path.Base(s.At().WebhookURL), athmovilsim.DefaultPrivateToken)
	search.For("an auth token", rig.AnyAuthToken)
	payments, err := search.ForPayers(ctx, s.At().Store, s.At().KeyFile)
	require.NoError(t, err)
	require.NotZero(t, payments)
	for _, folder := range []string{postgres, s.Folder()} {
		require.NoError(t, search.InFolder(folder, rig.Secret()...))
	}
	require.NoError(t, search.Found())
	require.NoError(t, search.Saw())
}
