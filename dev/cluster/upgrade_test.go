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

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
)

// earlier is a commit whose databases and histories the current programs can read:
// since then, migrations were only added. Move it forward with each release, so
// that the upgrade from that release is tested.
const earlier = "c298fc5be438836a0c2da803b5775c14d35bd5a2"

// earlierPrograms builds the programs of a commit.
func earlierPrograms(t *testing.T) testcluster.Programs {
	t.Helper()
	source := t.TempDir()
	git := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = filepath.Join("..", "..")
		return cmd.CombinedOutput()
	}
	if out, err := git("cat-file", "-e", earlier+"^{commit}"); err != nil {
		missing := fmt.Sprintf("git does not have the commit %.12s, from which this test upgrades (%s): fetch the whole history", earlier, strings.TrimSpace(string(out)))
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	archive := filepath.Join(source, "source.tar")
	out, err := git("archive", "--output", archive, earlier)
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.Remove(archive))
	built, err := testcluster.BuildCobro(t.Context(), source, t.TempDir())
	require.NoError(t, err)
	return built
}

// TestRollingUpgrade opens payments with the programs of an earlier commit,
// migrates while they run, replaces one API and one worker after the other while
// customers pay, and finishes every payment with the current programs. For a
// while both versions work on the same workflows.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	t.Run("on SQLite", func(t *testing.T) {
		t.Parallel()
		folder := testcluster.Folder(t, *keep)
		upgrade(t, folder, testcluster.Cluster{Store: "sqlite:" + filepath.Join(folder, "cobro.db")})
	})
	t.Run("on PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server := startPostgres(t)
		require.NoError(t, server.Create(t.Context(), "cobro", ""))
		upgrade(t, testcluster.Folder(t, *keep), testcluster.Cluster{Store: server.DSN("cobro"), TemporalStore: server.DSN("temporal")})
	})
}

func upgrade(t *testing.T, folder string, cluster testcluster.Cluster) {
	cluster.Earlier = earlierPrograms(t)
	s, err := testcluster.StartCluster(t.Context(), programs, folder, nil, cluster)
	require.NoError(t, err)
	t.Cleanup(s.KillAll)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	m := testcluster.NewMerchant(s)
	defer m.Listen(ctx)()

	const each = 6
	open := func(when string) []payment.Payment {
		var all []payment.Payment
		for i := range each {
			p, err := m.Sell(ctx, fmt.Sprintf("%s-%d", when, i), testcluster.M{"phone_number": fmt.Sprintf("78755510%02d", i), "expires_in": 600})
			require.NoError(t, err)
			all = append(all, p)
		}
		return all
	}
	finish := func(when string, all []payment.Payment) {
		for i, p := range all {
			p, err := m.Confirm(ctx, p)
			require.NoError(t, err, when)
			key := fmt.Sprintf("refund-%s-%d", when, i)
			_, created, err := m.Refund(ctx, p.ID, key, "1.00")
			require.NoError(t, err, when)
			require.True(t, created, when)
		}
	}
	require.NoError(t, m.RunScenarios(ctx, "before-"))
	first, second, third := open("first"), open("second"), open("third")
	waiting, err := m.Sell(ctx, "ignored", testcluster.M{"phone_number": "7875550200", "expires_in": 600})
	require.NoError(t, err)

	require.NoError(t, s.Migrate(ctx, programs), "the old programs run on the new schema")
	finish("old alone", first)
	replace := func(part testcluster.Part) {
		require.NoError(t, s.Stop(part), "a graceful stop ends with code 0")
		s.Use(part, programs)
		require.NoError(t, s.StartPart(ctx, part))
	}
	replace(testcluster.Worker)
	require.NoError(t, m.RunScenarios(ctx, "mixed-workers-"))
	replace(testcluster.API)
	finish("mixed", second)
	mixed := open("mixed")
	require.NoError(t, m.RunScenarios(ctx, "mixed-"))
	replace(testcluster.Worker2)
	replace(testcluster.API2)
	finish("new alone", third)
	finish("opened in between", mixed)
	_, _, err = m.Ask(ctx, "POST", "/v1/payments/"+waiting.ID+"/cancel", "", nil)
	require.NoError(t, err)
	require.NoError(t, m.RunScenarios(ctx, "after-"))
	counts, err := m.Check(ctx)
	require.NoError(t, err)
	const rounds = 4
	require.Equal(t, 4*each+1+6*rounds, counts.Payments)
	require.Equal(t, 4*each+3*rounds, counts.Completed)
	t.Logf("from %.12s: %+v", earlier, counts)
}
