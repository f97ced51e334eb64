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
// starts it again, and checks the invariants.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	times := 1
	if *long {
		times = 4
	}
	slots := make(chan struct{}, 3) // each has a Temporal of its own
	for _, point := range failpoint.Points() {
		for n := 1; n <= times; n++ {
			t.Run(fmt.Sprintf("%s@%d", point, n), func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				killAt(t, point, n)
			})
		}
	}
}

// killAt runs the scenarios with one failpoint armed, which kills its process
// when it is reached for the given time.
func killAt(t *testing.T, point failpoint.Point, times int) {
	part := testcluster.Worker
	if point.InAPI() {
		part = testcluster.API
	}
	mark := filepath.Join(t.TempDir(), "died")
	s := start(t, map[testcluster.Part][]string{part: {
		fmt.Sprintf("COBRO_FAILPOINT=%s@%d", point, times), "COBRO_FAILPOINT_MARK=" + mark,
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	supervised, stop := context.WithCancel(ctx)
	supervisor := make(chan error, 1)
	go func() { supervisor <- s.Supervise(supervised, part) }() // received below

	m := testcluster.NewMerchant(s)
	defer m.Listen(ctx)()
	require.NoError(t, m.RunScenarios(ctx, ""))
	counts, err := m.Check(ctx)
	require.NoError(t, err)
	stop()
	require.NoError(t, <-supervisor)
	if _, err := os.Stat(mark); times == 1 {
		require.NoError(t, err, "nothing was killed: the scenarios do not reach the point")
	} else if err != nil {
		t.Logf("the point is reached fewer than %d times", times)
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
