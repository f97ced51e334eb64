// Package typescript_test checks that the TypeScript example and Cobro agree. The
// Go tests write testdata that the TypeScript tests read, and the other way round.
// It needs no Node.js.
package typescript_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

var update = flag.Bool("update", false, "regenerate the testdata that Go writes")

// vectors are payloads and failures that one language sealed and both must open.
// Bytes are base64 in JSON.
type vectors struct {
	Payloads []payloadVector `json:"payloads"`
	Failures []failureVector `json:"failures"`
}

type payloadVector struct {
	Name     string `json:"name"`
	Key      string `json:"key"`      // the id of the key that sealed it
	Sealed   []byte `json:"sealed"`   // a temporal.api.common.v1.Payload
	Encoding string `json:"encoding"` // of the payload inside
	Inside   []byte `json:"inside"`   // its data
}

type failureVector struct {
	Name         string `json:"name"`
	Sealed       []byte `json:"sealed"` // a temporal.api.failure.v1.Failure
	Type         string `json:"type"`
	Message      string `json:"message"`
	NonRetryable bool   `json:"non_retryable"`
	Cause        string `json:"cause"` // the message of the error inside; may be empty
}

// canary is in every message, so it must never appear unencrypted.
const canary = "canaria@example.com"

func TestGoOpensVectorsOfBothLanguages(t *testing.T) {
	t.Parallel()
	if *update && !goVectorsAreGood(t) { // sealing again gives different bytes, so keep good vectors
		writeJSON(t, "from-go.json", seals(t))
	}
	codec, failures := opener(t)
	for _, file := range []string{"from-go.json", "from-typescript.json"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			all := read[vectors](t, file)
			require.NotEmpty(t, all.Payloads)
			require.NotEmpty(t, all.Failures)
			for _, v := range all.Payloads {
				requirePayload(t, codec, v)
			}
			for _, v := range all.Failures {
				requireFailure(t, failures, v)
			}
		})
	}
}

func requirePayload(t *testing.T, codec converter.PayloadCodec, v payloadVector) {
	t.Helper()
	var sealed commonpb.Payload
	require.NoError(t, proto.Unmarshal(v.Sealed, &sealed), v.Name)
	require.Equal(t, map[string][]byte{
		"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte(v.Key),
	}, sealed.GetMetadata(), "%s: the metadata does not show the encoding inside", v.Name)
	require.NotContains(t, string(v.Sealed), canary, v.Name)
	opened, err := codec.Decode([]*commonpb.Payload{&sealed})
	require.NoError(t, err, v.Name)
	require.Equal(t, v.Encoding, string(opened[0].GetMetadata()[converter.MetadataEncoding]), v.Name)
	require.Equal(t, string(v.Inside), string(opened[0].GetData()), v.Name)
}

func requireFailure(t *testing.T, failures converter.FailureConverter, v failureVector) {
	t.Helper()
	var sealed failurepb.Failure
	require.NoError(t, proto.Unmarshal(v.Sealed, &sealed), v.Name)
	require.NotContains(t, string(v.Sealed), canary, v.Name)
	require.Contains(t, v.Message, canary, v.Name)
	err := failures.FailureToError(&sealed)
	var application *temporal.ApplicationError
	require.ErrorAs(t, err, &application, v.Name)
	require.Equal(t, v.Type, application.Type(), v.Name)
	require.Equal(t, v.Message, application.Message(), v.Name)
	require.Equal(t, v.NonRetryable, application.NonRetryable(), v.Name)
	require.Equal(t, temporal.ApplicationErrorCategoryBenign, application.Category(), "%s: the SDKs log any other category", v.Name)
	if v.Cause != "" {
		require.ErrorContains(t, errors.Unwrap(application), v.Cause, v.Name)
	}
}

// goVectorsAreGood reports whether from-go.json has the vectors of seals.
func goVectorsAreGood(t *testing.T) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "from-go.json"))
	var have vectors
	if err != nil || json.Unmarshal(data, &have) != nil {
		return false
	}
	want := seals(t)
	for _, all := range []vectors{have, want} {
		for i := range all.Payloads {
			all.Payloads[i].Sealed = nil
		}
		for i := range all.Failures {
			all.Failures[i].Sealed = nil
		}
	}
	return reflect.DeepEqual(want, have)
}

// seals makes payloads of each encoding, with the primary and with an old key, and
// the failures of a receiver.
func seals(t *testing.T) vectors {
	t.Helper()
	var all vectors
	for _, v := range []struct {
		name, key string
		value     any
	}{
		{"a notification", "2026-02", examples()[1]},
		{"an old key", "2026-01", "Café Cobro, " + canary},
		{"text", "2026-02", "ñandú ☕ " + canary},
		{"nothing", "2026-02", nil},
		{"bytes", "2026-02", []byte{0, 1, 2, 253, 254, 255}},
		{"a message", "2026-02", &commonpb.WorkflowExecution{WorkflowId: canary}},
	} {
		plain, err := converter.GetDefaultDataConverter().ToPayload(v.value)
		require.NoError(t, err)
		sealed, err := temporalclient.Codec(ring(t, v.key)).Encode([]*commonpb.Payload{plain})
		require.NoError(t, err)
		all.Payloads = append(all.Payloads, payloadVector{
			Name: v.name, Key: v.key, Sealed: wire(t, sealed[0]),
			Encoding: string(plain.GetMetadata()[converter.MetadataEncoding]), Inside: append([]byte{}, plain.GetData()...),
		})
	}
	_, failures := opener(t)
	for _, v := range []struct {
		name string
		err  error
	}{
		{"permanent", activities.Permanent(errors.New("no such mailbox: " + canary))},
	} {
		all.Failures = append(all.Failures, failureVector{
			Name: v.name, Sealed: wire(t, failures.ErrorToFailure(v.err)), Type: "permanent",
			Message: "no such mailbox: " + canary, NonRetryable: true, Cause: "no such mailbox: " + canary,
		})
	}
	return all
}

// contract is what notification.ts declares, from the Go types.
type contract struct {
	Events          []payment.Event        `json:"events"`
	PaymentStatuses []payment.Status       `json:"payment_statuses"`
	Notifications   []payment.Notification `json:"notifications"`
}

func TestGoldenNotificationsMatchGoTypes(t *testing.T) {
	t.Parallel()
	got := contract{Events: payment.Events(), PaymentStatuses: payment.Statuses(), Notifications: examples()}
	if *update {
		writeJSON(t, "notifications.golden.json", got)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "notifications.golden.json"))
	require.NoError(t, err, "run the test with -update")
	require.Equal(t, string(want), string(indented(t, got)), "run the test with -update, and fix src/notification.ts")
}

// A new field of a notification must appear in the golden file, where the TypeScript
// test finds it.
func TestExamplesFillEveryField(t *testing.T) {
	t.Parallel()
	filled := map[string]bool{}
	covered := map[payment.Event]bool{}
	for _, n := range examples() {
		covered[n.Event] = true
		markFilled(reflect.ValueOf(n), filled)
	}
	for _, event := range payment.Events() {
		require.True(t, covered[event], "no example of %s", event)
	}
	for field, ok := range filled {
		require.True(t, ok, "no example fills %s", field)
	}
}

// markFilled records which fields of package payment are not zero, as "Type.Field".
func markFilled(v reflect.Value, filled map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			markFilled(v.Elem(), filled)
		}
	case reflect.Slice:
		for i := range v.Len() {
			markFilled(v.Index(i), filled)
		}
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[payment.Payment]().PkgPath() {
			return // a time or an amount
		}
		for i := range v.NumField() {
			field := v.Type().Name() + "." + v.Type().Field(i).Name
			filled[field] = filled[field] || !v.Field(i).IsZero()
			markFilled(v.Field(i), filled)
		}
	default:
	}
}

// examples returns notifications of every event, and one with as few fields as
// possible.
func examples() []payment.Notification {
	at := func(seconds int) time.Time { return time.Date(2026, 1, 15, 12, 0, seconds, 0, time.UTC) }
	amount := func(text string) *money.Amount {
		a := money.MustParse(text)
		return &a
	}
	completedAt, refundedAt := at(30), at(50)
	open := payment.Payment{
		ID: ledger.DeriveID("default", "example"), Status: payment.StatusOpen,
		Request:     payment.Request{Total: *amount("25.00"), ExpiresIn: 10 * time.Minute},
		EcommerceID: "5f0c2a9d-0000-4000-8000-000000000000",
		ExpiresAt:   at(600), CreatedAt: at(0), UpdatedAt: at(1),
	}
	completed := open
	completed.Status, completed.UpdatedAt, completed.CompletedAt = payment.StatusCompleted, completedAt, &completedAt
	completed.Request = payment.Request{
		Reference: "order-1042", Total: *amount("25.00"), Subtotal: amount("22.42"), Tax: amount("2.58"),
		PhoneNumber: "7875550999", Metadata1: "table 4", Metadata2: "terrace", ExpiresIn: 10 * time.Minute,
		Items: []payment.Item{
			{Name: "Café", Description: "Yauco", Quantity: 2, Price: *amount("11.21"), Tax: amount("1.29"), Metadata: "sku-1"},
			{Name: "Agua", Quantity: 1, Price: *amount("0.00")},
		},
	}
	completed.ReferenceNumber, completed.DailyTransactionID = "reference-1", "0007"
	completed.Captured, completed.Fee, completed.NetAmount = amount("25.00"), amount("0.56"), amount("24.44")
	completed.Customer = payment.Customer{Name: "Canaria Rivera", PhoneNumber: "7875550999", Email: canary}
	cancelled, expired, refunded, inReview := open, open, completed, completed
	cancelled.Status = payment.StatusCancelled
	cancelled.Failure = &payment.Failure{Code: payment.FailureCancelledByCustomer, Message: "the customer cancelled"}
	expired.Status = payment.StatusExpired
	refunded.RefundedAmount = *amount("5.00")
	inReview.NeedsReview = true

	refund := payment.Refund{
		ID: ledger.DeriveRefundID(open.ID, "example"), PaymentID: open.ID, Amount: *amount("5.00"),
		Status: payment.RefundCompleted, ReferenceNumber: "reference-2", Message: "sorry", Source: payment.SourceAPI,
		CreatedAt: at(40), CompletedAt: &refundedAt,
	}
	refused := payment.Refund{
		ID: refund.ID, PaymentID: open.ID, Amount: refund.Amount, Status: payment.RefundFailed, NeedsReview: true,
		Failure: &payment.Failure{Code: "BTRA_0044", Message: "the balance is too low"}, Source: payment.SourceAPI, CreatedAt: at(40),
	}
	review := payment.Review{
		ID: ledger.DeriveReviewID(open.ID, 1), PaymentID: open.ID, Cause: payment.CauseUndecided,
		Evidence: []payment.Evidence{{At: at(55), What: "the ticket is PAUSED"}}, OpenedAt: at(56),
	}
	decided, settled := review, review
	decided.RefundID, decided.Cause = refund.ID, payment.CauseRefundUnknown
	decided.Decision = &payment.Decision{
		Verdict: payment.VerdictNotExecuted, Source: payment.DecidedByPerson, By: "default", Reason: "not in the app", At: at(59),
	}
	settled.Decision = &payment.Decision{Verdict: payment.VerdictCompleted, Source: payment.DecidedByGateway, At: at(59)}
	mismatch := payment.Mismatch{
		ID:   ledger.DeriveMismatchID(payment.MismatchFee, open.ID),
		Kind: payment.MismatchFee, PaymentID: open.ID, ReferenceNumber: "reference-1", Ours: "0.56", Theirs: "0.60",
		Source: payment.FoundByReconciliation, FoundBy: "0198f0c2-0000-7000-8000-000000000000", FoundAt: at(58),
	}
	withoutPayment := payment.Mismatch{
		ID:   ledger.DeriveMismatchID(payment.MismatchMissingHere, "reference-9"),
		Kind: payment.MismatchMissingHere, Source: payment.FoundByReconciliation, FoundAt: at(58),
	}

	all := []payment.Notification{
		{Event: payment.EventCreated, Payment: open},
		{Event: payment.EventCompleted, Payment: completed},
		{Event: payment.EventFailed, Payment: cancelled},
		{Event: payment.EventExpired, Payment: expired},
		{Event: payment.EventRefundCompleted, Payment: refunded, Refund: &refund},
		{Event: payment.EventRefundFailed, Payment: completed, Refund: &refused},
		{Event: payment.EventNeedsReview, Payment: inReview, Review: &review},
		{Event: payment.EventNeedsReview, Payment: inReview, Refund: &refused, Review: &decided},
		{Event: payment.EventNeedsReview, Payment: inReview, Review: &settled},
		{Event: payment.EventReconciliationMismatch, Payment: completed, Mismatch: &mismatch},
		{Event: payment.EventReconciliationMismatch, Mismatch: &withoutPayment},
	}
	for i := range all {
		n := &all[i]
		n.Version, n.Sequence, n.OccurredAt = payment.NotificationVersion, i+1, at(i)
		n.ID = ledger.NotificationID(n.Payment.ID, n.Event, n.Sequence, "typescript", "send-receipt")
	}
	return all
}

// ring returns the key ring of the tests with this primary.
func ring(t *testing.T, primary string) *seal.Ring {
	t.Helper()
	file := read[map[string]any](t, "keys.json")
	file["primary"] = primary
	data, err := json.Marshal(file)
	require.NoError(t, err)
	r, err := seal.Parse(data)
	require.NoError(t, err)
	return r
}

func opener(t *testing.T) (converter.PayloadCodec, converter.FailureConverter) {
	t.Helper()
	r := ring(t, "2026-02")
	return temporalclient.Codec(r), temporalclient.NewFailureConverter(temporalclient.NewDataConverter(r))
}

func wire(t *testing.T, message proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(message)
	require.NoError(t, err)
	return data
}

func read[T any](t *testing.T, name string) T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	var value T
	require.NoError(t, json.Unmarshal(data, &value))
	return value
}

func indented(t *testing.T, value any) []byte {
	t.Helper()
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetIndent("", "  ")
	require.NoError(t, encoder.Encode(value))
	return data.Bytes()
}

func writeJSON(t *testing.T, name string, value any) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join("testdata", name), indented(t, value), 0o644))
}
