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
	s, err := rig.Start(t.Context(), programs, rig.Folder(t, *keep), env)
	require.NoError(t, err)
	t.Cleanup(s.KillAll)
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

// tour goes once through everything, and checks the invariants.
func tour(ctx context.Context, t *testing.T, s *rig.System) rig.Verdict {
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()
	m := rig.NewMerchant(s)
	require.NoError(t, m.Tour(ctx, ""))
	require.NoError(t, s.Settle(ctx))
	verdict, err := s.Check(ctx, m, heard)
	require.NoError(t, err)
	return verdict
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
				p, err := m.Paid(ctx, key, rig.M{"phone_number": fmt.Sprintf("787555%04d", 2000+i)})
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
