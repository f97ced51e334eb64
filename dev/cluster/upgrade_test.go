package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/dev/rig"
	"github.com/cobropay/cobro/payment"
)

// earlier are commits whose databases the programs of today can read: from each
// on, that database's migrations are added and never edited. Move them forward
// when a release is made, so that the upgrade from that release is tested.
const (
	earlierOnSQLite     = "4b016f02103baecad21cba3ac33f2e5be24f79e0"
	earlierOnPostgreSQL = "4f1163dc58e88a73e7251244abda050058c7784d"
)

// earlierPrograms builds the programs of a commit.
func earlierPrograms(t *testing.T, earlier string) rig.Programs {
	t.Helper()
	source := t.TempDir()
	git := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = filepath.Join("..", "..")
		return cmd.CombinedOutput()
	}
	if out, err := git("cat-file", "-e", earlier+"^{commit}"); err != nil {
		said := fmt.Sprintf("git does not have the commit %.12s, from which this test upgrades (%s): fetch the whole history", earlier, strings.TrimSpace(string(out)))
		if os.Getenv("CI") != "" {
			t.Fatal(said)
		}
		t.Skip(said)
	}
	archive := filepath.Join(source, "source.tar")
	out, err := git("archive", "--output", archive, earlier)
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.Remove(archive))
	built, err := rig.BuildCobro(t.Context(), source, t.TempDir())
	require.NoError(t, err)
	return built
}

// TestARollingUpgrade opens payments with the programs of an earlier commit,
// migrates beside them, replaces one API and one worker after the other while
// customers go on, and lets every payment end under the programs of today.
// For a while both versions take the same workflows in turn.
func TestARollingUpgrade(t *testing.T) {
	t.Parallel()
	t.Run("on SQLite", func(t *testing.T) {
		t.Parallel()
		folder := rig.Folder(t, *keep)
		upgrade(t, earlierOnSQLite, folder, rig.Cluster{Store: "sqlite:" + filepath.Join(folder, "cobro.db")})
	})
	t.Run("on PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server := startPostgres(t)
		require.NoError(t, server.Create(t.Context(), "cobro", ""))
		upgrade(t, earlierOnPostgreSQL, rig.Folder(t, *keep), rig.Cluster{Store: server.DSN("cobro"), TemporalStore: server.DSN("temporal")})
	})
}

func upgrade(t *testing.T, earlier, folder string, cluster rig.Cluster) {
	cluster.Earlier = earlierPrograms(t, earlier)
	s, err := rig.StartCluster(t.Context(), programs, folder, nil, cluster)
	require.NoError(t, err)
	t.Cleanup(s.KillAll)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()
	m := rig.NewMerchant(s)

	const each = 6
	open := func(when string) []payment.Payment {
		var all []payment.Payment
		for i := range each {
			p, err := m.Sell(ctx, fmt.Sprintf("%s-%d", when, i), rig.M{"phone_number": fmt.Sprintf("78755510%02d", i), "expires_in": 600})
			require.NoError(t, err)
			all = append(all, p)
		}
		return all
	}
	sold := func(when string, all []payment.Payment) {
		for i, p := range all {
			p, err := m.Confirm(ctx, p)
			require.NoError(t, err, when)
			key := fmt.Sprintf("back-%s-%d", when, i)
			_, made, err := m.Refund(ctx, p.ID, key, "1.00")
			require.NoError(t, err, when)
			require.True(t, made, when)
		}
	}
	require.NoError(t, m.Tour(ctx, "before-"))
	first, second, third := open("first"), open("second"), open("third")
	waiting, err := m.Sell(ctx, "ignored", rig.M{"phone_number": "7875550200", "expires_in": 600})
	require.NoError(t, err)

	require.NoError(t, s.Migrate(ctx, programs), "the old programs go on beside the new schema")
	sold("old alone", first)
	replace := func(part rig.Part) {
		require.NoError(t, s.Stop(part), "a graceful stop ends with code 0")
		s.Use(part, programs)
		require.NoError(t, s.StartPart(ctx, part))
	}
	replace(rig.Worker)
	require.NoError(t, m.Tour(ctx, "mixed-workers-"))
	replace(rig.API)
	sold("mixed", second)
	mixed := open("mixed")
	require.NoError(t, m.Tour(ctx, "mixed-"))
	replace(rig.Worker2)
	replace(rig.API2)
	sold("new alone", third)
	sold("opened in between", mixed)
	_, _, err = m.Ask(ctx, "POST", "/v1/payments/"+waiting.ID+"/cancel", "", nil)
	require.NoError(t, err)
	require.NoError(t, m.Tour(ctx, "after-"))
	require.NoError(t, s.Settle(ctx))
	verdict, err := s.Check(ctx, m, heard)
	require.NoError(t, err)
	const tours = 4
	require.Equal(t, 4*each+1+6*tours, verdict.Payments)
	require.Equal(t, 4*each+3*tours, verdict.Completed)
	t.Logf("from %.12s: %+v", earlier, verdict)
}
