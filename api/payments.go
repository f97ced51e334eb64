package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// createPayment answers POST /v1/payments. The store is read before anything
// is started, since Temporal forgets a key when its retention ends.
func (s *Server) createPayment(c *gin.Context) error {
	key, err := idempotencyKey(c.Request.Header)
	if err != nil {
		return err
	}
	request, err := s.readPaymentRequest(c)
	if err != nil {
		return err
	}
	input, err := s.paymentInput(key, request)
	if err != nil {
		return err
	}
	c.Set(logPaymentID, input.PaymentID)

	ctx := c.Request.Context()
	known, err := s.payment(ctx, input.PaymentID)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		if err := s.refuseReferenceInUse(ctx, input); err != nil {
			return err
		}
	case err != nil:
		return err
	case known.Payment.Status != payment.StatusPending || known.Fingerprint != input.Fingerprint:
		return s.answerOpening(c, input, known)
	}
	return s.openPayment(c, input)
}

// paymentInput names the payment that a request asks for.
func (s *Server) paymentInput(key string, request payment.Request) (workflows.ProcessPaymentInput, error) {
	asked := s.now()
	id := ledger.DeriveID(s.cfg.MerchantID, key)
	if key == "" {
		var err error
		if id, err = ledger.NewID(asked, s.cfg.Entropy); err != nil {
			return workflows.ProcessPaymentInput{}, err
		}
	}
	fingerprint, err := s.paymentFingerprint(request)
	return workflows.ProcessPaymentInput{
		PaymentID: id, Fingerprint: fingerprint, Request: request, CreatedAt: asked, Timing: s.cfg.Timing,
	}, err
}

// refuseReferenceInUse spares a workflow that the store would refuse anyway.
func (s *Server) refuseReferenceInUse(ctx context.Context, in workflows.ProcessPaymentInput) error {
	if in.Request.Reference == "" {
		return nil
	}
	other, err := s.cfg.Store.UnfinishedByReference(ctx, in.Request.Reference)
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && other == in.PaymentID:
		return nil
	case err != nil:
		return fromStore(err)
	default:
		return &problem{kind: referenceInUse, members: members{PaymentID: other}}
	}
}

// openPayment starts the payment's workflow, or joins it, and waits for the
// ticket.
func (s *Server) openPayment(c *gin.Context, in workflows.ProcessPaymentInput) error {
	ctx := c.Request.Context()
	waiting, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	defer cancel()
	failpoint.Reach(failpoint.OpenBefore)
	outcome, err := s.cfg.Flows.OpenPayment(waiting, in)
	failpoint.Reach(failpoint.OpenAfter)
	switch {
	case errors.Is(err, ErrStillWorking), errors.Is(err, ErrAlreadyEnded):
		// The store knows how far it came.
	case errors.Is(err, ErrUnavailable):
		// The id lets a merchant without a key see whether it exists after all.
		return &problem{kind: unavailable, retryAfter: retrySoon, members: members{PaymentID: in.PaymentID}, cause: err}
	case err != nil:
		return err
	case outcome.InProgressID != "":
		return &problem{kind: referenceInUse, members: members{PaymentID: outcome.InProgressID}}
	}
	ended := errors.Is(err, ErrAlreadyEnded)
	made, err := s.payment(ctx, in.PaymentID)
	if errors.Is(err, ledger.ErrNotFound) {
		if ended {
			return fmt.Errorf("the workflow of payment %s ended and left no record", in.PaymentID)
		}
		made, err = pendingRecord(in), nil // its row is on the way
	}
	if err != nil {
		return err
	}
	return s.answerOpening(c, in, made)
}

// pendingRecord is the payment whose workflow has not written anything yet.
func pendingRecord(in workflows.ProcessPaymentInput) ledger.Record {
	return ledger.Record{Fingerprint: in.Fingerprint, Payment: payment.Payment{
		ID: in.PaymentID, Status: payment.StatusPending, Request: in.Request,
		CreatedAt: in.CreatedAt, UpdatedAt: in.CreatedAt, ExpiresAt: in.CreatedAt.Add(in.Request.ExpiresIn),
	}}
}

// answerOpening answers a POST, the first one or a replay, from what the
// payment has become.
func (s *Server) answerOpening(c *gin.Context, in workflows.ProcessPaymentInput, made ledger.Record) error {
	if made.Fingerprint != in.Fingerprint {
		return &problem{kind: keyReused}
	}
	p := made.Payment
	markReplay(c, p.CreatedAt, in.CreatedAt)
	if p.Status == payment.StatusFailed && p.EcommerceID == "" {
		return s.refuseUnopened(c.Request.Context(), p)
	}
	c.Header("Location", "/v1/payments/"+p.ID)
	if p.Status == payment.StatusPending {
		return answer(c, http.StatusAccepted, p)
	}
	return answer(c, http.StatusCreated, p)
}

// refuseUnopened tells why there was never a ticket.
func (s *Server) refuseUnopened(ctx context.Context, p payment.Payment) error {
	refused := problemOfOpening(p)
	if refused.kind != referenceInUse {
		return refused
	}
	other, err := s.cfg.Store.UnfinishedByReference(ctx, p.Reference)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return fromStore(err)
	}
	refused.members.PaymentID = other // empty when the other one has ended by now
	return refused
}

// payment reads one payment; an unknown id is [ledger.ErrNotFound].
func (s *Server) payment(ctx context.Context, id string) (ledger.Record, error) {
	if !ledger.IsID(id) {
		return ledger.Record{}, ledger.ErrNotFound
	}
	record, err := s.cfg.Store.Payment(ctx, id)
	return record, fromStore(err)
}

const (
	lookEvery = 250 * time.Millisecond
	maxWait   = 60 * time.Second
)

// showPayment answers GET /v1/payments/{id}, with ?wait= once the payment is
// terminal or the time is over.
func (s *Server) showPayment(c *gin.Context) error {
	q := readQuery(c.Request.URL.RawQuery, "wait")
	wait := q.wait("wait")
	if err := q.err(); err != nil {
		return err
	}
	ctx := c.Request.Context()
	shown, err := s.payment(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if wait > 0 && !shown.Payment.Status.Terminal() {
		waiting, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if shown, err = s.awaitPayment(waiting, shown, func(p payment.Payment) bool { return p.Status.Terminal() }); err != nil {
			return err
		}
	}
	return answer(c, http.StatusOK, shown.Payment)
}

// awaitPayment looks at a payment until it is as wanted, ctx ends or the
// server drains, and returns it as it was last seen.
func (s *Server) awaitPayment(ctx context.Context, seen ledger.Record, wanted func(payment.Payment) bool) (ledger.Record, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !wanted(seen.Payment) {
		select {
		case <-ctx.Done():
			return seen, nil
		case <-s.draining:
			return seen, nil
		case <-look.C:
		}
		next, err := s.payment(ctx, seen.Payment.ID)
		if ctx.Err() != nil {
			return seen, nil
		}
		if err != nil {
			return seen, err
		}
		seen = next
	}
	return seen, nil
}

// cancelPayment answers POST /v1/payments/{id}/cancel.
func (s *Server) cancelPayment(c *gin.Context) error {
	if _, err := idempotencyKey(c.Request.Header); err != nil { // cancelling is idempotent by itself
		return err
	}
	if err := s.readNothing(c); err != nil {
		return err
	}
	ctx := c.Request.Context()
	seen, err := s.payment(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if !seen.Payment.Status.Terminal() {
		waiting, cancel := context.WithTimeout(ctx, s.cfg.Wait)
		defer cancel()
		_, err := s.cfg.Flows.CancelPayment(waiting, seen.Payment.ID)
		if err != nil && !errors.Is(err, ErrStillWorking) && !errors.Is(err, ErrEnded) {
			return err
		}
		if seen, err = s.payment(ctx, seen.Payment.ID); err != nil {
			return err
		}
	}
	switch p := seen.Payment; {
	case p.Status == payment.StatusCancelled:
		return answer(c, http.StatusOK, p)
	case p.Status.Terminal():
		return &problem{kind: notCancellable, members: members{PaymentID: p.ID, PaymentStatus: p.Status}}
	default:
		return answer(c, http.StatusAccepted, p)
	}
}

// setPhoneNumber answers PUT /v1/payments/{id}/phone-number.
func (s *Server) setPhoneNumber(c *gin.Context) error {
	key, err := idempotencyKey(c.Request.Header)
	if err != nil {
		return err
	}
	phone, err := s.readPhoneNumber(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	seen, err := s.payment(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	switch p := seen.Payment; {
	case p.PhoneNumber == phone:
		return answer(c, http.StatusOK, p)
	case p.Status.Terminal():
		return refuseEnded(p)
	}
	return s.ringPhone(c, seen.Payment.ID, key, phone)
}

// ringPhone has the workflow set the number and answers with what came of it.
func (s *Server) ringPhone(c *gin.Context, id, key string, phone private.Text) error {
	updateID, err := s.phoneUpdateID(key, phone)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	waiting, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	defer cancel()
	outcome, err := s.cfg.Flows.SetPhoneNumber(waiting, id, updateID, workflows.SetPhoneNumberRequest{PhoneNumber: phone})
	if err != nil && !errors.Is(err, ErrStillWorking) && !errors.Is(err, ErrEnded) {
		return err
	}
	seen, readErr := s.payment(ctx, id)
	if readErr != nil {
		return readErr
	}
	switch p := seen.Payment; {
	case errors.Is(err, ErrStillWorking):
		return answer(c, http.StatusAccepted, p)
	case err != nil, outcome.Failure != nil && outcome.Failure.Code == payment.FailureEnded:
		return refuseEnded(p)
	case outcome.Failure != nil:
		return &problem{kind: phoneDeclined, members: members{
			PaymentID: p.ID, PaymentStatus: p.Status,
			GatewayCode: outcome.Failure.Code, GatewayMessage: outcome.Failure.Message,
		}}
	default:
		return answer(c, http.StatusOK, p)
	}
}

// phoneUpdateID lets a request with a key join the one before it. Without a
// key every request is a try of its own.
func (s *Server) phoneUpdateID(key string, phone private.Text) (string, error) {
	if key == "" {
		return s.freshID("phone-")
	}
	digest, err := s.fingerprint("PUT /v1/payments/{id}/phone-number", []string{key, string(phone)})
	return "phone-" + digest, err
}

func refuseEnded(p payment.Payment) error {
	return &problem{kind: paymentEnded, members: members{PaymentID: p.ID, PaymentStatus: p.Status}}
}

const (
	defaultPage = 20
	maxPage     = 100
)

// listPayments answers GET /v1/payments, newest first.
func (s *Server) listPayments(c *gin.Context) error {
	filter, err := readFilter(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	payments, next, err := s.cfg.Store.Payments(c.Request.Context(), filter)
	if err != nil {
		return fromStore(err)
	}
	return answer(c, http.StatusOK, struct {
		Payments   []payment.Payment `json:"payments"`
		NextCursor *string           `json:"next_cursor"`
	}{neverNull(payments), formatCursor(next)})
}

// neverNull makes a list without elements an empty one in JSON.
func neverNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func readFilter(query string) (ledger.PaymentFilter, error) {
	q := readQuery(query, "status", "reference", "phone_number", "metadata1", "metadata2",
		"needs_review", "created_from", "created_to", "limit", "cursor")
	filter := ledger.PaymentFilter{
		Status:      payment.Status(q.text("status")),
		Reference:   q.text("reference"),
		PhoneNumber: private.Text(q.text("phone_number")),
		Metadata1:   private.Text(q.text("metadata1")),
		Metadata2:   private.Text(q.text("metadata2")),
		CreatedFrom: q.time("created_from"),
		CreatedTo:   q.time("created_to"),
		Limit:       q.limit(),
		After:       q.cursor(ledger.IsID),
	}
	if filter.Status != "" && !slices.Contains(payment.Statuses(), filter.Status) {
		q.refuse("status", ruleOneOf(names(payment.Statuses())))
	}
	if filter.PhoneNumber != "" {
		digits, err := athmovil.ParsePhone(string(filter.PhoneNumber))
		if err != nil {
			q.refuse("phone_number", rulePhone())
		}
		filter.PhoneNumber = private.Text(digits)
	}
	switch text := q.text("needs_review"); text {
	case "":
	case "true", "false":
		needs := text == "true"
		filter.NeedsReview = &needs
	default:
		q.refuse("needs_review", ruleBoolean())
	}
	return filter, q.err()
}

// names lists the values of an enum in words for people.
func names[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return strings.Join(texts, ", ")
}

// query is a query string that is being read. An unknown parameter is refused:
// a filter with a spelling mistake would otherwise select everything.
type query struct {
	values url.Values
	broken payment.FieldErrors
}

func readQuery(raw string, known ...string) *query {
	values, err := url.ParseQuery(raw)
	q := &query{values: values}
	if err != nil {
		q.refuse("query", ruleQuery())
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			q.refuse(name, ruleParameter())
		case len(all) > 1:
			q.refuse(name, ruleOnce())
		}
	}
	return q
}

func (q *query) refuse(name string, rule payment.Rule) {
	q.broken = append(q.broken, payment.FieldError{Field: quoteField(name), Rule: rule})
}

func (q *query) err() error {
	if len(q.broken) == 0 {
		return nil
	}
	slices.SortFunc(q.broken, func(a, b payment.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return &problem{kind: parameterInvalid, fields: q.broken}
}

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) time(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.refuse(name, ruleTime())
	}
	return t
}

func (q *query) wait(name string) time.Duration {
	text := q.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		q.refuse(name, ruleWait())
	}
	return d
}

func (q *query) limit() int {
	const name = "limit"
	text := q.text(name)
	if text == "" {
		return defaultPage
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxPage {
		q.refuse(name, ruleLimit())
	}
	return limit
}

// cursor reads what [formatCursor] wrote, of a list of things with such ids.
func (q *query) cursor(isID func(string) bool) ledger.Cursor {
	const name = "cursor"
	text := q.text(name)
	if text == "" {
		return ledger.Cursor{}
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	at, id, ok := strings.Cut(string(decoded), " ")
	createdAt, timeErr := time.Parse(time.RFC3339Nano, at)
	if err != nil || timeErr != nil || !ok || !isID(id) {
		q.refuse(name, ruleCursor())
		return ledger.Cursor{}
	}
	return ledger.Cursor{CreatedAt: createdAt, ID: id}
}

// formatCursor is where the next page starts, or nil at the end.
func formatCursor(c ledger.Cursor) *string {
	if c == (ledger.Cursor{}) {
		return nil
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(c.CreatedAt.UTC().Format(time.RFC3339Nano) + " " + c.ID))
	return &text
}

// answer writes a value as JSON.
func answer(c *gin.Context, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	c.Data(status, "application/json", body)
	return nil
}
