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

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/internal/failpoint"
)

var (
	long = flag.Bool("long", false, "die at each point several times over")
	keep = flag.Bool("keep", false, "keep the folders")

	programs testcluster.Programs
)

func TestMain(m *testing.M) {
	os.Exit(testcluster.WithPrograms(&programs, m.Run))
}

// start starts a system whose folder is kept if the test fails.
func start(t *testing.T, env map[testcluster.Part][]string) *testcluster.System {
	t.Helper()
	s, err := testcluster.Start(t.Context(), programs, testcluster.Folder(t, *keep), env)
	require.NoError(t, err)
	t.Cleanup(s.KillAll)
	return s
}

// TestCrashMatrix kills a process at every failpoint while all scenarios run,
// starts it again, and checks the invariants. A few systems take turns, since
// starting a Temporal costs more than the scenarios.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	times, limit := 1, 10*time.Minute
	if *long {
		times, limit = 4, 40*time.Minute
	}
	const lanes = 3
	for lane := range lanes {
		t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			m := testcluster.NewMerchant(start(t, nil))
			defer m.Listen(ctx)()
			for i, point := range failpoint.Points() {
				for n := 1; n <= times && i%lanes == lane; n++ {
					t.Run(fmt.Sprintf("%s@%d", point, n), func(t *testing.T) { killAt(ctx, t, m, point, n) })
				}
			}
		})
	}
}

// killAt runs the scenarios with one failpoint armed, which kills its process
// when it is reached for the given time.
func killAt(ctx context.Context, t *testing.T, m *testcluster.Merchant, point failpoint.Point, times int) {
	s, part := m.System, testcluster.Worker
	if point.InAPI() {
		part = testcluster.API
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	armed := fmt.Sprintf("%s@%d", point, times)
	mark := filepath.Join(s.Folder(), armed) // a process that finds it lives
	restart := func(env ...string) {
		s.Kill(part)
		s.Use(part, programs, env...)
		require.NoError(t, s.StartPart(ctx, part))
	}
	restart("COBRO_FAILPOINT="+armed, "COBRO_FAILPOINT_MARK="+mark)
	supervised, stop := context.WithCancel(ctx)
	supervisor := make(chan error, 1)
	go func() { supervisor <- s.Supervise(supervised, part) }() // received below

	require.NoError(t, m.RunScenarios(ctx, armed+"-"))
	counts, err := m.Check(ctx)
	require.NoError(t, err)
	stop()
	require.NoError(t, <-supervisor)
	if _, err := os.Stat(mark); times == 1 {
		require.NoError(t, err, "nothing was killed: the scenarios do not reach the point")
	} else if err != nil {
		t.Logf("the point is reached fewer than %d times", times)
		restart()
	}
	t.Logf("%+v", counts)
}

// TestStopUnderLoad stops each process with SIGTERM while payments are in
// progress, and starts it again. Nothing may be lost: what was acknowledged still
// exists, and a retry settles what was not answered.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	sales, limit := 40, 3*time.Minute
	if *long {
		sales, limit = 400, 20*time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	m := testcluster.NewMerchant(s)
	defer m.Listen(ctx)()
	load := m.SellUnderLoad(ctx, sales, 8)
	stops := 0
	for loaded := true; loaded; {
		for _, part := range []testcluster.Part{testcluster.API, testcluster.Worker} {
			require.NoError(t, s.Stop(part), "a graceful stop ends with code 0")
			require.NoError(t, s.StartPart(ctx, part))
			stops++
		}
		select {
		case err := <-load:
			require.NoError(t, err)
			loaded = false
		default:
		}
	}
	counts, err := m.Check(ctx)
	require.NoError(t, err)
	require.Equal(t, sales, counts.Completed)
	require.Equal(t, sales, counts.Refunds)
	t.Logf("%d stops; %+v", stops, counts)
}

// TestKilledProcessIsRestarted proves that a killed part has really ended, and
// that its supervisor starts it again: a crash matrix without crashes would prove
// nothing.
func TestKilledProcessIsRestarted(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	var supervisor sync.WaitGroup
	supervisor.Go(func() { _ = s.Supervise(ctx, testcluster.Worker) })
	first := s.Ended(testcluster.Worker)
	s.Kill(testcluster.Worker)
	<-first
	require.Eventually(t, func() bool { return s.Ended(testcluster.Worker) != first }, time.Minute, 20*time.Millisecond)
	require.False(t, s.HasEnded(testcluster.Worker), "the new one has ended, too")
	stop()
	supervisor.Wait()
}
