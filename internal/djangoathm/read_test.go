package djangoathm_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/djangoathm"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

func settings() djangoathm.Settings {
	return djangoathm.Settings{Merchant: "default", Zone: time.UTC}
}

// files opens files of testdata.
func files(t testing.TB, pattern string) []djangoathm.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	var all []djangoathm.File
	for _, name := range names {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		all = append(all, djangoathm.File{Name: filepath.Base(name), Content: bytes.NewReader(content)})
	}
	return all
}

func read(t *testing.T, all ...djangoathm.File) djangoathm.Dump {
	t.Helper()
	dump, err := djangoathm.Read(settings(), all...)
	require.NoError(t, err)
	return dump
}

func text(name, content string) djangoathm.File {
	return djangoathm.File{Name: name, Content: strings.NewReader(content)}
}

// cents returns a pointer to an amount.
func cents(n int64) *money.Amount {
	a := money.FromCents(n)
	return &a
}

func TestReadConvertsRowsToRecords(t *testing.T) {
	t.Parallel()
	dump := read(t, files(t, "dump.json")...)
	require.Empty(t, dump.Unreadable)
	require.Empty(t, dump.Notes)
	require.Equal(t, map[djangoathm.Table]int{djangoathm.Payments: 6, djangoathm.Refunds: 3, djangoathm.Clients: 3}, dump.Rows)
	require.Equal(t, 1, dump.Others, "the webhook event")
	require.Zero(t, dump.Skewed)
	require.Len(t, dump.Sales, 6)

	const ticket = "7d40a101-5f1e-11f0-8d3a-0242ac120002"
	id := ledger.DeriveID("default", "django-athm:"+ticket)
	created := time.Date(2026, time.January, 3, 15, 3, 50, 123000000, time.UTC)
	completed := time.Date(2026, time.January, 3, 15, 4, 19, 0, time.UTC) // 11:04:19 in Puerto Rico, which Django parsed as UTC
	require.Equal(t, payment.Payment{
		ID: id, Status: payment.StatusCompleted,
		Request: payment.Request{
			Total: money.FromCents(25_00), Subtotal: cents(22_42), Tax: cents(2_58),
			Metadata1: "orden 1041", Metadata2: "recogido, sin cebolla", ExpiresIn: 10 * time.Minute,
		},
		EcommerceID: ticket, ReferenceNumber: "1024264001-8a36d6ba967ef82501968c5eb7376301", DailyTransactionID: "0001",
		Captured: cents(25_00), Fee: cents(56), NetAmount: cents(24_44),
		Customer:  payment.Customer{Name: "María del Carmen Ñeco Rivera", PhoneNumber: "7875551234", Email: "mcneco@example.com"},
		CreatedAt: created, UpdatedAt: time.Date(2026, time.January, 3, 15, 4, 21, 456000000, time.UTC),
		ExpiresAt: created.Add(10 * time.Minute), CompletedAt: &completed,
	}, dump.Sales[0].Payment)
	require.Equal(t, []ledger.Transition{
		{PaymentID: id, Sequence: 1, From: payment.StatusPending, To: payment.StatusOpen, At: created},
		{PaymentID: id, Sequence: 2, From: payment.StatusOpen, To: payment.StatusConfirmed, At: completed},
		{PaymentID: id, Sequence: 3, From: payment.StatusConfirmed, To: payment.StatusCompleted, At: completed},
	}, dump.Sales[0].Transitions)
	require.True(t, ledger.IsID(id))

	second := dump.Sales[1]
	require.Equal(t, "7875550202", string(second.Payment.Customer.PhoneNumber), "the country code is dropped")
	require.Nil(t, second.Payment.Subtotal, "the row has none")
	at, done := time.Date(2026, time.January, 9, 18, 30, 0, 650000000, time.UTC), time.Date(2026, time.January, 9, 18, 29, 58, 0, time.UTC)
	require.Equal(t, payment.Refund{
		ID: ledger.DeriveRefundID(second.Payment.ID, "django-athm:9b7d2c10-6a51-4f0e-8c77-000000000001"), PaymentID: second.Payment.ID,
		Amount: money.FromCents(25_50), Status: payment.RefundCompleted, ReferenceNumber: "402894d56b240610016b2e6c78a60001",
		Message: "Faltó un artículo", Source: payment.SourceImported, CreatedAt: at, CompletedAt: &done,
	}, second.Refunds[0].Refund)
	require.Len(t, dump.Sales[2].Refunds, 2)
	require.Equal(t, money.FromCents(10_00), dump.Sales[2].Refunds[0].Refund.Amount, "oldest first")

	fourth := dump.Sales[3].Payment // completed by the authorize view
	require.Nil(t, fourth.Fee)
	require.Nil(t, fourth.NetAmount)
	require.Equal(t, fourth.UpdatedAt, *fourth.CompletedAt)
	require.Equal(t, "Ángel L. Núñez Báez", string(fourth.Customer.Name), "the name comes from its client")

	cancelled, expired := dump.Sales[4], dump.Sales[5]
	require.Equal(t, payment.StatusCancelled, cancelled.Payment.Status)
	require.Equal(t, payment.FailureCancelledElsewhere, cancelled.Payment.Failure.Code)
	require.Equal(t, cancelled.Payment.Failure.Code, cancelled.Transitions[1].Reason)
	require.Nil(t, cancelled.Payment.CompletedAt)
	require.Equal(t, payment.StatusExpired, expired.Payment.Status)
	require.Nil(t, expired.Payment.Failure)

	require.Equal(t, payment.Customer{Name: "José A. Colón Vélez", PhoneNumber: "7875550202"}, dump.Clients[1].Customer)
}

func TestEveryDumpFormatGivesTheSameRecords(t *testing.T) {
	t.Parallel()
	want := read(t, files(t, "dump.json")...)
	for _, folder := range []string{"postgres", "sqlite"} {
		got := read(t, files(t, folder+"/*.csv")...)
		require.Equal(t, want.Rows, got.Rows, folder)
		require.Equal(t, want.Others, got.Others, folder)
		require.Empty(t, got.Unreadable, folder)
		require.Len(t, got.Sales, len(want.Sales), folder)
		for i := range want.Sales {
			require.Equal(t, want.Sales[i].Payment, got.Sales[i].Payment, folder)
			require.Equal(t, want.Sales[i].Transitions, got.Sales[i].Transitions, folder)
			require.Len(t, got.Sales[i].Refunds, len(want.Sales[i].Refunds), folder)
			for j := range want.Sales[i].Refunds {
				require.Equal(t, want.Sales[i].Refunds[j].Refund, got.Sales[i].Refunds[j].Refund, folder)
			}
		}
		require.Len(t, got.Clients, len(want.Clients))
		for i := range want.Clients {
			require.Equal(t, want.Clients[i].Customer, got.Clients[i].Customer, folder)
			require.Equal(t, want.Clients[i].UpdatedAt, got.Clients[i].UpdatedAt, folder)
		}
	}
	both := read(t, append(files(t, "dump.json"), files(t, "sqlite/*.csv")...)...)
	require.Len(t, both.Sales, len(want.Sales))
	require.Equal(t, map[djangoathm.Table]int{djangoathm.Payments: 6, djangoathm.Refunds: 3}, both.Repeated)
	require.Empty(t, both.Unreadable)
}

func TestGatewayTimesAreReadInDjangoZone(t *testing.T) {
	t.Parallel()
	puertoRico, err := time.LoadLocation("America/Puerto_Rico")
	require.NoError(t, err)
	one := func(zone *time.Location, transactionDate, created string) djangoathm.Dump {
		t.Helper()
		dump, err := djangoathm.Read(djangoathm.Settings{Merchant: "default", Zone: zone}, text("d", `[`+object(map[string]string{
			"transaction_date": `"` + transactionDate + `"`, "created_at": `"` + created + `"`, "updated_at": `"` + created + `"`,
		})+`]`))
		require.NoError(t, err)
		require.Empty(t, dump.Unreadable)
		return dump
	}
	want := time.Date(2026, time.January, 3, 15, 4, 19, 0, time.UTC)
	for name, tt := range map[string]struct {
		zone              *time.Location
		transaction, made string
		skewed            int
	}{
		"UTC":           {time.UTC, "2026-01-03T11:04:19Z", "2026-01-03T15:03:50.123Z", 0},
		"Puerto Rico":   {puertoRico, "2026-01-03T15:04:19Z", "2026-01-03T15:03:50.123Z", 0},
		"an offset":     {puertoRico, "2026-01-03T11:04:19-04:00", "2026-01-03T11:03:50-04:00", 0},
		"USE_TZ is off": {puertoRico, "2026-01-03T11:04:19", "2026-01-03T11:03:50.123", 0},
		"a wrong zone":  {time.UTC, "2026-01-03T11:04:19Z", "2026-01-03T11:03:50.123Z", 1},
	} {
		dump := one(tt.zone, tt.transaction, tt.made)
		require.Equal(t, want, *dump.Sales[0].Payment.CompletedAt, name)
		require.Equal(t, tt.skewed, dump.Skewed, name)
	}
}

// object returns a completed payment of a JSON dump with some fields changed. The
// value "" leaves a field out.
func object(changes map[string]string) string {
	fields := map[string]string{
		"reference_number": `"215070443-402894c185ab1be40185acfe61c2000b"`, "status": `"COMPLETED"`, "total": `"25.00"`,
		"created_at": `"2026-01-03T15:03:50Z"`, "updated_at": `"2026-01-03T15:04:21Z"`, "transaction_date": `"2026-01-03T11:04:19Z"`,
	}
	pk := `"0ab257f5-3837-11ed-855f-9b4af5a393ce"`
	for name, value := range changes {
		if name == "pk" {
			pk = value
			continue
		}
		fields[name] = value
	}
	var all []string
	for name, value := range fields {
		if value != "" {
			all = append(all, fmt.Sprintf("%q: %s", name, value))
		}
	}
	return `{"model": "django_athm.payment", "pk": ` + pk + `, "fields": {` + strings.Join(all, ", ") + `}}`
}

func TestUnreadableRowBecomesRemark(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		changes map[string]string
		says    string
	}{
		"no UUID":                {map[string]string{"pk": `"canary"`}, "ecommerce_id is not a UUID"},
		"a malformed UUID":       {map[string]string{"pk": `"0ab257f53837-11ed-855f-9b4af5a393ce-"`}, "ecommerce_id is not a UUID"},
		"a list as a key":        {map[string]string{"pk": `["canary"]`}, "the pk is neither text nor a number; ecommerce_id is not a UUID"},
		"a random UUID":          {map[string]string{"pk": `"0f8fad5b-d9cb-469f-a165-70867728950e"`}, "ecommerce_id is random"},
		"an unknown status":      {map[string]string{"status": `"canary"`}, "status must be"},
		"no status":              {map[string]string{"status": ""}, "status must be"},
		"no total":               {map[string]string{"total": "null"}, "total is missing or zero"},
		"a zero total":           {map[string]string{"total": `"0.00"`}, "total is missing or zero"},
		"a comma":                {map[string]string{"total": `"25,00"`}, `total is not an amount like "25.00"`},
		"a name as a total":      {map[string]string{"total": `"canary"`}, "total is not an amount"},
		"three decimals":         {map[string]string{"fee": `"0.125"`}, "fee is not an amount"},
		"an exponent":            {map[string]string{"total": `25e2`}, "total is not an amount"},
		"a negative tax":         {map[string]string{"tax": `"-1.00"`}, "tax is negative"},
		"a bad refunded total":   {map[string]string{"total_refunded_amount": `"canary"`}, "total_refunded_amount is not an amount"},
		"no reference":           {map[string]string{"reference_number": "null"}, "reference_number is missing"},
		"an empty reference":     {map[string]string{"reference_number": `""`}, "reference_number is missing"},
		"a bad reference":        {map[string]string{"reference_number": `"canary bird"`}, "reference_number is not an ATH Móvil id"},
		"a bad daily id":         {map[string]string{"daily_transaction_id": `"canary canary"`}, "daily_transaction_id is not an ATH Móvil id"},
		"no time":                {map[string]string{"created_at": `"canary"`}, "created_at is not a time"},
		"no creation":            {map[string]string{"created_at": "null"}, "created_at is missing"},
		"a bad transaction time": {map[string]string{"transaction_date": `"canary"`}, "transaction_date is not a time"},
		"a time before 1970":     {map[string]string{"updated_at": `"1960-01-01T00:00:00Z"`}, "updated_at is not a time"},
		"an object":              {map[string]string{"customer_name": `{"canary": 1}`}, "customer_name is neither text nor a number"},
		"several problems":       {map[string]string{"total": `""`, "status": `"x"`}, "EXPIRED; total is missing"},
	} {
		dump := read(t, text("dump.json", "["+object(nil)+",\n"+object(tt.changes)+"]"))
		require.Len(t, dump.Sales, 1, "%s: the other row is read", name)
		require.Len(t, dump.Unreadable, 1, name)
		remark := dump.Unreadable[0]
		require.Equal(t, "dump.json", remark.File)
		require.Equal(t, 2, remark.Row)
		require.Contains(t, remark.Reason, tt.says, name)
		require.NotContains(t, fmt.Sprint(remark), "canary", "the value may be personal")
	}
}

func TestJSONNumbersKeepTheirText(t *testing.T) {
	t.Parallel()
	dump := read(t, text("d", "["+object(map[string]string{"total": "1234567.89", "fee": "0.1", "net_amount": "1234567.79", "daily_transaction_id": "35"})+"]"))
	require.Equal(t, money.MustParse("1234567.89"), dump.Sales[0].Payment.Total)
	require.Equal(t, cents(10), dump.Sales[0].Payment.Fee)
	require.Equal(t, "35", dump.Sales[0].Payment.DailyTransactionID)
}

func TestPhoneNumbersBecomeDigits(t *testing.T) {
	t.Parallel()
	for phone, want := range map[string]string{
		`"7875551234"`: "7875551234", `"17875551234"`: "7875551234", `"(787) 555-1234"`: "7875551234", `7875551234`: "7875551234",
		`"0"`: "", `""`: "", `null`: "", `"52 55 1234 5678 9"`: "5255123456789",
	} {
		dump := read(t, text("d", "["+object(map[string]string{"customer_phone": phone})+"]"))
		require.Equal(t, want, string(dump.Sales[0].Payment.Customer.PhoneNumber), phone)
	}
}

func TestRemarksOfMessyDump(t *testing.T) {
	t.Parallel()
	dump := read(t, files(t, "messy.json")...)
	require.Len(t, dump.Sales, 7)
	var unfinished, reasons []string
	for _, remark := range dump.Unfinished {
		unfinished = append(unfinished, remark.Key[:8]+" "+remark.Reason)
	}
	require.Equal(t, []string{"7d40a107 it is OPEN", "7d40a108 it is CONFIRM"}, unfinished)
	for _, remark := range dump.Unreadable {
		require.NotEmpty(t, remark.Key)
		reasons = append(reasons, fmt.Sprintf("%d %s %s", remark.Row, remark.Table, remark.Reason))
	}
	require.Equal(t, []string{
		"17 payment reference_number is missing, so it matches no sale of ATH Móvil's",
		`18 payment total is not an amount like "25.00"`,
		"19 payment status must be OPEN, CONFIRM, COMPLETED, CANCEL or EXPIRED",
		"20 payment ecommerce_id is random: athm_sync made it up, and ATH Móvil has no such ticket",
		"21 payment total is negative; created_at is not a time",
		"22 refund amount is missing or zero",
		"23 refund its payment is cancelled",
		"24 refund its payment is not in this dump or cannot be imported",
		"25 refund status is not COMPLETED",
		"27 client phone_number is missing",
	}, reasons)
	require.Len(t, dump.Notes, 1)
	require.Contains(t, dump.Notes[0].Reason, "total_refunded_amount is $7.00, but its refunds add up to $0.00")
}

func TestTwoDumpsReadTogether(t *testing.T) {
	t.Parallel()
	early, late := files(t, "messy.json"), files(t, "later.json")
	dump := read(t, append(early, late...)...)
	require.Len(t, dump.Unfinished, 1, "one of the two has ended in the later dump")
	require.Len(t, dump.Sales, 8)

	dump = read(t, append(files(t, "dump.json"), files(t, "contradicting.json")...)...)
	require.Len(t, dump.Unreadable, 2)
	require.Equal(t, "row 4 of contradicting.json is the same payment with a different amount, status or reference",
		strings.Replace(dump.Unreadable[0].Reason, "row 4 of dump.json", "row 4 of contradicting.json", 1))
}

func TestInvalidCSVRowsBecomeRemarks(t *testing.T) {
	t.Parallel()
	const header = "ecommerce_id,reference_number,status,created_at,updated_at,transaction_date,total,customer_name\n"
	row := func(ticket, rest string) string {
		return ticket + ",215070443-" + ticket[:8] + ",COMPLETED,2026-01-03 15:03:50,2026-01-03 15:04:21+00,2026-01-03 11:04:19," + rest + "\n"
	}
	content := "\ufeff" + header +
		row("0ab257f5383711ed855f9b4af5a39301", `25,"Ñeco, Ana`+"\n"+`de la O"`) +
		row("0ab257f5383711ed855f9b4af5a39302", `25`) +
		row("0ab257f5383711ed855f9b4af5a39303", `25,canary "quoted" bird`) +
		row("0ab257f5383711ed855f9b4af5a39304", "25,A\xf1o") +
		row("0ab257f5383711ed855f9b4af5a39305", `25.5,Ana`)
	dump := read(t, text("p.csv", content))
	require.Equal(t, 5, dump.Rows[djangoathm.Payments])
	require.Len(t, dump.Sales, 2)
	require.Equal(t, "Ñeco, Ana\nde la O", string(dump.Sales[0].Payment.Customer.Name))
	require.Equal(t, money.FromCents(25_50), dump.Sales[1].Payment.Total)
	var remarks []string
	for _, remark := range dump.Unreadable {
		remarks = append(remarks, fmt.Sprint(remark.Row, " ", remark.Reason))
	}
	require.Equal(t, []string{
		"4 it does not have as many values as the header",
		"5 it is not valid CSV: unbalanced quotes",
		"6 customer_name is not UTF-8",
	}, remarks)
}

func TestReadRejectsFilesThatAreNotDumps(t *testing.T) {
	t.Parallel()
	whole := "[" + object(nil) + "]"
	for name, tt := range map[string]struct{ content, says string }{
		"a truncated list":            {whole[:len(whole)-1], "truncated after row 1"},
		"a truncated row":             {whole[:len(whole)-20], "truncated after row 0"},
		"two dumps":                   {whole + whole, "a file of its own"},
		"an unknown table":            {"id,canary\n1,2\n", "matches no table"},
		"no header":                   {"0ab257f5383711ed855f9b4af5a39301,1\n", "matches no table"},
		"an incomplete payment table": {"ecommerce_id,total,status\n", "missing columns: reference_number, created_at, updated_at, transaction_date"},
		"an incomplete refund table":  {"payment_id\n", "missing columns: id, amount"},
		"an incomplete client table":  {"phone_number\n", "missing columns: name, email"},
		"an object":                   {object(nil), "not a dump"},
		"a shell error":               {"bash: canary: command not found", "matches no table"},
	} {
		dump, err := djangoathm.Read(settings(), text("good.json", whole), text("bad", tt.content))
		require.ErrorContains(t, err, tt.says, name)
		require.ErrorContains(t, err, "bad: ", name)
		require.NotContains(t, err.Error(), "canary", name)
		require.Empty(t, dump, name)
	}
	_, err := djangoathm.Read(settings(), text("nothing", ""), text("space", " \n"))
	require.ErrorContains(t, err, "not a dump")
	require.Len(t, read(t, text("athm_refund.csv", ""), text("d", whole)).Sales, 1, "SQLite writes nothing for an empty table")
	dump := read(t, text("d", `[{"model": "auth.user", "pk": 1, "fields": {}}, 7, {"pk": 1}]`))
	require.Equal(t, 1, dump.Others)
	require.Len(t, dump.Unreadable, 2)
}

func FuzzRead(f *testing.F) {
	// Small seeds: the fuzzer would spend its time minimizing large ones.
	refund := `{"model": "django_athm.refund", "pk": "9b7d2c10-6a51-4f0e-8c77-000000000001", "fields": {"amount": "1.00", "status": "COMPLETED",
		"payment": "0ab257f5-3837-11ed-855f-9b4af5a393ce", "created_at": "2026-01-04T15:03:50Z"}}`
	f.Add([]byte("[" + object(nil) + "," + refund + "]"))
	f.Add([]byte("[" + object(map[string]string{"status": `"CANCEL"`, "reference_number": "null"}) + "]"))
	f.Add([]byte("ecommerce_id,reference_number,status,created_at,updated_at,transaction_date,total\n" +
		"0ab257f5383711ed855f9b4af5a39301,2150-40,EXPIRED,2026-01-03 15:03:50,2026-01-03 15:04:21+00,,25.5\n"))
	f.Add([]byte("id,phone_number,name,email,updated_at\n0ab257f5383711ed855f9b4af5a39301,(787) 555-1234,\"Ñeco, Ana\",,2026-01-03 15:03:50\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dump, err := djangoathm.Read(settings(), djangoathm.File{Name: "f", Content: bytes.NewReader(content)})
		if err != nil {
			require.Empty(t, dump)
			return
		}
		ids := make(map[string]bool)
		for _, sale := range dump.Sales {
			p := sale.Payment
			require.False(t, ids[p.ID], "each payment once")
			ids[p.ID] = true
			require.True(t, ledger.IsID(p.ID))
			require.True(t, p.Status.Terminal())
			require.Len(t, p.EcommerceID, 36)
			require.Positive(t, p.Total.Cents())
			require.Equal(t, p.Status == payment.StatusCompleted, p.CompletedAt != nil)
			require.False(t, p.Status == payment.StatusCompleted && p.ReferenceNumber == "")
			require.Equal(t, p.Status, sale.Transitions[len(sale.Transitions)-1].To)
			for _, refund := range sale.Refunds {
				require.Equal(t, p.ID, refund.Refund.PaymentID)
				require.True(t, ledger.IsRefundID(refund.Refund.ID))
				require.Positive(t, refund.Refund.Amount.Cents())
			}
		}
		for _, client := range dump.Clients {
			require.NotEmpty(t, client.Customer.PhoneNumber)
		}
	})
}
