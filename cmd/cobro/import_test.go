package main

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/djangoathm"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// dump is the path of a dump of django-athm's.
func dump(name string) string {
	return filepath.Join("..", "..", "internal", "djangoathm", "testdata", name)
}

// importing imports dumps and returns what the command says.
func importing(t *testing.T, env map[string]string, code int, args ...string) imported {
	t.Helper()
	got, stdout, stderr := cobro(t, env, append([]string{"import", "django-athm", "--json"}, args...)...)
	require.Equal(t, code, got, "%s%s", stdout, stderr)
	require.NotContains(t, stdout+stderr, "Canaria")
	require.NotContains(t, stdout+stderr, "7875559999")
	var out imported
	require.NoError(t, json.Unmarshal([]byte(stdout), &out))
	return out
}

func opened(t *testing.T, env map[string]string) *store.Store {
	t.Helper()
	ring, err := seal.Load(env["COBRO_KEY_FILE"])
	require.NoError(t, err)
	db, err := store.Open(t.Context(), store.Config{DSN: env["COBRO_STORE"], Sealer: ring})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

type tables = map[djangoathm.Table]*importedTable

func TestDjangoAthmIsImportedOnce(t *testing.T) {
	t.Parallel()
	env := newInstallation(t)
	file := strings.TrimPrefix(env["COBRO_STORE"], "sqlite:")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	out := importing(t, env, 0, "--dry-run", dump("dump.json"))
	require.True(t, out.DryRun)
	require.Equal(t, 6, out.Tables[djangoathm.Payments].Imported)
	require.Equal(t, 3, out.Tables[djangoathm.Refunds].Imported)
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, sha256.Sum256(before), sha256.Sum256(after), "a dry run writes nothing")

	first := tables{
		djangoathm.Payments: {Rows: 6, Imported: 6}, djangoathm.Refunds: {Rows: 3, Imported: 3},
		djangoathm.Clients: {Rows: 3, Imported: 3},
	}
	again := tables{
		djangoathm.Payments: {Rows: 6, AlreadyThere: 6}, djangoathm.Refunds: {Rows: 3, AlreadyThere: 3}, djangoathm.Clients: {Rows: 3, AlreadyThere: 3},
	}
	out = importing(t, env, 0, dump("dump.json"))
	require.Equal(t, first, out.Tables)
	require.Equal(t, 1, out.Others)
	require.Empty(t, out.Rows)
	require.Empty(t, out.Hints)
	for _, same := range []string{"dump.json", "postgres", "sqlite"} {
		require.Equal(t, again, importing(t, env, 0, dump(same)).Tables, same)
	}

	db := opened(t, env)
	listed, _, err := db.Payments(t.Context(), ledger.PaymentFilter{})
	require.NoError(t, err)
	require.Len(t, listed, 6)
	require.Equal(t, payment.StatusExpired, listed[0].Status, "newest first")
	require.Equal(t, money.FromCents(60_00), listed[3].RefundedAmount)
	found, _, err := db.Payments(t.Context(), ledger.PaymentFilter{PhoneNumber: "7875550202"})
	require.NoError(t, err)
	require.Len(t, found, 1)
	known, err := db.Customer(t.Context(), "7875550202")
	require.NoError(t, err)
	require.Equal(t, "José A. Colón Vélez", string(known.Name))
	told, err := db.Deliveries(t.Context(), found[0].ID)
	require.NoError(t, err)
	require.Empty(t, told)

	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(file + suffix)
		require.NoError(t, err)
		for _, personal := range []string{"Ñeco", "7875551234", "mcneco@", "orden 1041", "Faltó"} {
			require.NotContains(t, string(content), personal, "sealed like everything personal")
		}
	}

	// Later, one payment has ended and one more refund was made.
	out = importing(t, env, 0, dump("later.json"))
	require.Equal(t, &importedTable{Rows: 8, Imported: 1, AlreadyThere: 6, Unfinished: 1}, out.Tables[djangoathm.Payments])
	require.Equal(t, &importedTable{Rows: 4, Imported: 1, AlreadyThere: 3}, out.Tables[djangoathm.Refunds])
	require.Len(t, out.Rows, 1)
	require.Equal(t, "unfinished", out.Rows[0].What)
	require.Contains(t, out.Hints[0], "dump again")
}

// What one row of a dump does to another is rehearsed too.
func TestARehearsalSaysWhatTheImportDoes(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(dump("dump.json"))
	require.NoError(t, err)
	twice := filepath.Join(t.TempDir(), "twice.json") // two sales, and a refund, of one reference number
	require.NoError(t, os.WriteFile(twice, []byte(strings.NewReplacer(
		"1024264003-8a36d6ba967ef82501968c5eb7376303", "1024264001-8a36d6ba967ef82501968c5eb7376301",
		"402894d56b240610016b2e6c78a60001", "1024264004-8a36d6ba967ef82501968c5eb7376304",
	).Replace(string(content))), 0o600))
	for _, file := range []string{dump("dump.json"), dump("later.json"), dump("contradicting.json"), dump("messy.json"), dump("postgres"), dump("sqlite"), twice} {
		for _, before := range []string{"", dump("dump.json")} {
			env := newInstallation(t)
			if before != "" {
				importing(t, env, 0, before)
			}
			code, rehearsed, stderr := cobro(t, env, "import", "django-athm", "--json", "--dry-run", file)
			done, imported, _ := cobro(t, env, "import", "django-athm", "--json", file)
			require.Equal(t, done, code, stderr)
			require.JSONEq(t, imported, strings.Replace(rehearsed, `"dry_run": true`, `"dry_run": false`, 1), "%s after %q", file, before)
		}
	}
}

func TestAnImportThatContradictsIsNotWritten(t *testing.T) {
	t.Parallel()
	env := newInstallation(t)
	importing(t, env, 0, dump("dump.json"))
	out := importing(t, env, 1, dump("contradicting.json"))
	require.Equal(t, &importedTable{Rows: 6, AlreadyThere: 4, Contradicting: 2}, out.Tables[djangoathm.Payments])
	require.Len(t, out.Rows, 2)
	require.Contains(t, out.Rows[0].Reason, "$25.00 and has $26.00 now")
	require.Contains(t, out.Rows[1].Reason, "imported as cancelled and is expired now")
	found, _, err := opened(t, env).Payments(t.Context(), ledger.PaymentFilter{Metadata1: "orden 1041"})
	require.NoError(t, err)
	require.Equal(t, money.FromCents(25_00), found[0].Total)
}

func TestAMessyImportListsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	env := newInstallation(t)
	out := importing(t, env, 1, dump("messy.json"))
	require.Equal(t, tables{
		djangoathm.Payments: {Rows: 14, Imported: 7, Unfinished: 2, Unreadable: 5},
		djangoathm.Refunds:  {Rows: 8, Imported: 3, Contradicting: 1, Unreadable: 4},
		djangoathm.Clients:  {Rows: 4, Imported: 3, Unreadable: 1},
	}, out.Tables)
	require.Len(t, out.Rows, 2+1+1+10)

	code, stdout, stderr := cobro(t, env, "import", "django-athm", dump("messy.json"))
	require.Equal(t, 1, code)
	require.Equal(t, "cobro: some rows were not imported: see the list\n", stderr)
	lines := strings.Split(stdout, "\n")
	require.Equal(t, "TABLE    ROWS  IMPORTED  ALREADY THERE  COBRO'S OWN  UNFINISHED  CONTRADICTING  UNREADABLE", lines[0])
	require.Equal(t, "payment  14    0         7              0            2           0              5", lines[1])
	require.Contains(t, stdout, "unreadable")
	require.Contains(t, stdout, "7d40a115-5f1e-11f0-8d3a-0242ac120002  reference_number is missing")
	require.NotContains(t, stdout, "Canaria")
}

func TestImportMistakesSayWhatToDo(t *testing.T) {
	t.Parallel()
	env := newInstallation(t)
	nothing := t.TempDir()
	broken := filepath.Join(t.TempDir(), "broken.json")
	content, err := os.ReadFile(dump("dump.json"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(broken, content[:len(content)/2], 0o600))
	elsewhere := map[string]string{"COBRO_DATA": t.TempDir()}
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		code int
		says string
	}{
		"no file":               {env, nil, 2, "<file>"},
		"a missing file":        {env, []string{"nowhere.json"}, 1, "nowhere.json"},
		"an empty folder":       {env, []string{nothing}, 1, "no .json and no .csv"},
		"a file cut off":        {env, []string{dump("dump.json"), broken}, 1, "truncated after row"},
		"a zone nobody knows":   {env, []string{"--time-zone", "AST?", dump("dump.json")}, 1, "TIME_ZONE of the Django settings"},
		"no database":           {elsewhere, []string{dump("dump.json")}, 1, "COBRO_DATA"},
		"neither store nor dev": {map[string]string{"TEMPORAL_ADDRESS": "x:1"}, []string{dump("dump.json")}, 1, "set COBRO_STORE and COBRO_KEY_FILE"},
	} {
		code, _, stderr := cobro(t, tt.env, append([]string{"import", "django-athm"}, tt.args...)...)
		require.Equal(t, tt.code, code, "%s: %s", name, stderr)
		require.Contains(t, stderr, tt.says, name)
	}
	listed, _, err := opened(t, env).Payments(t.Context(), ledger.PaymentFilter{})
	require.NoError(t, err)
	require.Empty(t, listed, "a file cut off imports nothing of the others")

	importing(t, env, 0, "--merchant-id", "tienda", dump("dump.json"))
	code, _, stderr := cobro(t, env, "import", "django-athm", dump("dump.json"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "COBRO_MERCHANT_ID=tienda")
}

// Django's TIME_ZONE is known only to Django, and times that were read in
// another one are wrong for good once they are imported.
func TestImportRefusesTimesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	env := newInstallation(t)
	content, err := os.ReadFile(dump("dump.json"))
	require.NoError(t, err)
	local := filepath.Join(t.TempDir(), "dump.json") // of a project whose TIME_ZONE is right
	text := strings.NewReplacer("2026-01-03T11:04:19Z", "2026-01-03T15:04:19Z", "2026-01-05T12:21:38Z", "2026-01-05T16:21:38Z",
		"2026-02-14T09:02:53Z", "2026-02-14T13:02:53Z").Replace(string(content))
	require.NoError(t, os.WriteFile(local, []byte(text), 0o600))

	for _, args := range [][]string{nil, {"--time-zone", "UTC"}, {"--time-zone", "Asia/Tokyo"}} {
		code, _, stderr := cobro(t, env, append([]string{"import", "django-athm", local}, args...)...)
		require.Equal(t, 1, code, args)
		require.Contains(t, stderr, " of 4 payments", args)
		require.Contains(t, stderr, "nothing was written; give --time-zone", args)
	}
	none, _, err := opened(t, env).Payments(t.Context(), ledger.PaymentFilter{})
	require.NoError(t, err)
	require.Empty(t, none)
	out := importing(t, env, 0, "--time-zone", "UTC", "--dry-run", local)
	require.Contains(t, out.Hints[0], "3 of 4 payments")
	importing(t, newInstallation(t), 0, "--time-zone", "UTC", "--accept-times", local)
	importing(t, env, 0, "--time-zone", "America/Puerto_Rico", local)
	found, _, err := opened(t, env).Payments(t.Context(), ledger.PaymentFilter{Metadata1: "orden 1041"})
	require.NoError(t, err)
	require.Equal(t, "2026-01-03T15:04:19Z", found[0].CompletedAt.Format("2006-01-02T15:04:05Z07:00"))
}
