package athmovil

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/cobropay/cobro/private"
)

// Kind says whether a failed call was executed, and so whether it may be made
// again. The values are stable.
type Kind string

// The kinds of error. Every error of a [Client]'s call has one of them.
const (
	// KindDeclined: the gateway refused the call. It was not executed, and it
	// would be refused again. But see [Error.LookFirst].
	KindDeclined Kind = "declined"
	// KindInvalid: the request breaks a format or a limit. It was not executed.
	KindInvalid Kind = "invalid"
	// KindAuthentication: a token is wrong, expired or revoked. The call was
	// not executed.
	KindAuthentication Kind = "authentication"
	// KindUnavailable: the call was not executed, or it was a read and got no
	// usable response. It may be made again later.
	KindUnavailable Kind = "unavailable"
	// KindUnknown: the call may have been executed or not. Check with Find
	// before anything else. Never retry it blindly.
	KindUnknown Kind = "unknown"
)

// The sentinel of each [Kind], for [errors.Is].
var (
	ErrDeclined       = errors.New("declined by the gateway")
	ErrInvalid        = errors.New("invalid request")
	ErrAuthentication = errors.New("token refused by the gateway")
	ErrUnavailable    = errors.New("gateway unavailable, not executed")
	ErrUnknown        = errors.New("outcome unknown")
)

func (k Kind) sentinel() error {
	switch k {
	case KindDeclined:
		return ErrDeclined
	case KindInvalid:
		return ErrInvalid
	case KindAuthentication:
		return ErrAuthentication
	case KindUnavailable:
		return ErrUnavailable
	case KindUnknown:
		return ErrUnknown
	default:
		return ErrUnknown
	}
}

// Error is the type of every error of a [Client]'s calls. Its text contains
// neither tokens nor personal data. Use [errors.Is] with a sentinel such as
// [ErrUnknown] for the kind, and [errors.As] for the fields.
type Error struct {
	Op   Op
	Kind Kind
	// Code is the gateway's error code, such as "BTRA_0032", or empty if it
	// sent none. See [CodeNotConfirmed] and the constants beside it.
	Code string
	// HTTPStatus is the status of the response, or 0 if there was none.
	HTTPStatus int
	// Message is the gateway's own text. It may contain personal data, so it is
	// never part of Error().
	Message private.Text
	// Err is the cause, or nil if the gateway answered with an error.
	Err error
}

// Error implements the error interface.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "athmovil: %s: %s", e.Op, e.Kind.sentinel())
	if e.Code != "" {
		fmt.Fprintf(&b, ": %s", e.Code)
		if known, ok := codes[e.Code]; ok {
			fmt.Fprintf(&b, " (%s)", known.meaning)
		}
	}
	if e.HTTPStatus != 0 && e.HTTPStatus != http.StatusOK {
		fmt.Fprintf(&b, ": HTTP %d", e.HTTPStatus)
	}
	if e.Err != nil {
		// Joined errors are separated by newlines, which would split a log line.
		b.WriteString(": " + strings.ReplaceAll(e.Err.Error(), "\n", "; "))
	}
	return b.String()
}

// Meaning describes the code in this package's own words, without personal data.
// It is empty for an undocumented code.
func (e *Error) Meaning() string { return codes[e.Code].meaning }

// Unwrap returns the cause, such as [context.DeadlineExceeded] or a
// [net.OpError].
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the sentinel of the error's kind.
func (e *Error) Is(target error) bool { return target == e.Kind.sentinel() }

// LookFirst reports whether only Find tells what this error came to: the status
// for a sale, TotalRefundedAmount for a refund. It is true for every unknown
// outcome. It is also true for the refusals of Authorize and Refund that can
// follow a success whose response was lost: BTRA_0032, 0035, 0037 and 0039
// (docs/athmovil.md §1.3). Any other refusal of Authorize or Refund is worth a
// Find too, before it is believed.
func (e *Error) LookFirst() bool {
	if e.Kind == KindUnknown {
		return true
	}
	if e.Op.class() != moneyCall {
		return false
	}
	switch e.Code {
	case CodeNotConfirmed, CodeWrongStatus, CodeOver, CodeTimeOver:
		return true
	default:
		return false
	}
}

// Error codes that a caller may handle. [Error.Code] can hold any code of
// docs/athmovil.md §1.12.
const (
	CodeTicketNotFound    = "BTRA_0031"     // Find: no such ticket
	CodeNotConfirmed      = "BTRA_0032"     // Authorize: not confirmed, or already completed
	CodeWrongStatus       = "BTRA_0035"     // the status of the ticket or sale does not allow it
	CodeOver              = "BTRA_0037"     // canceled or failed
	CodeTimeOver          = "BTRA_0039"     // the ticket has expired
	CodePhoneAssigned     = "BTRA_0041"     // UpdatePhoneNumber: the ticket already has one
	CodeReferenceNotFound = "BTRA_0053"     // Refund: no such sale
	CodeTokenExpired      = "token.expired" // the ticket's AuthToken
)

// code is the kind and the meaning of one error code. KindUnknown marks a code
// that does not say whether the call was executed. For a read it means
// unavailable.
type code struct {
	kind    Kind
	meaning string
}

// codes is the table of docs/athmovil.md §1.12, followed by the codes of the www
// host, §1.10. It is never modified.
var codes = map[string]code{
	"token.invalid.header": {KindAuthentication, "no authorization header"},
	"token.expired":        {KindAuthentication, "the ticket's token has expired"},
	"BTRA_0401":            {KindAuthentication, "invalid authorization token"},
	"BTRA_0402":            {KindAuthentication, "authorization token expired"},
	"BTRA_0403":            {KindAuthentication, "invalid authorization token"},
	"BTRA_0017":            {KindAuthentication, "invalid authorization token"},
	"BCUS_0092":            {KindAuthentication, "business token invalid or expired"},

	"BTRA_0001":  {KindInvalid, "amount under the minimum"},
	"BTRA_0002":  {KindDeclined, "the customer must regain access"},
	"BTRA_0003":  {KindDeclined, "the customer's card is the business's card"},
	"BTRA_0004":  {KindDeclined, "amount over the limits"},
	"BTRA_0005":  {KindDeclined, "transaction failed"},
	"BTRA_0006":  {KindInvalid, "invalid format or no body"},
	"BTRA_0007":  {KindDeclined, "no such transaction"},
	"BTRA_0008":  {KindDeclined, "the transaction is not the business's"},
	"BTRA_0009":  {KindDeclined, "the business is not active"},
	"BTRA_0010":  {KindDeclined, "the business's status is not active"},
	"BTRA_0011":  {KindDeclined, "the card is not the business's"},
	"BTRA_0012":  {KindDeclined, "source and target cards are the same"},
	"BTRA_0013":  {KindInvalid, "amount is zero"},
	"BTRA_0014":  {KindDeclined, "no such transaction for this business"},
	"BTRA_0015":  {KindUnknown, "communication error"},
	"BTRA_0016":  {KindUnknown, "communication error"},
	"BTRA_0018":  {KindInvalid, "a field is blank"},
	"BTRA_0019":  {KindInvalid, "a field is null"},
	"BTRA_0020":  {KindInvalid, "number out of range"},
	"BTRA_0021":  {KindInvalid, "transaction type not valid"},
	codeNoRecord: {KindDeclined, "no record for the report"},
	"BTRA_0023":  {KindInvalid, "error in the From date"},
	"BTRA_0024":  {KindInvalid, "error in the To date"},
	"BTRA_0025":  {KindInvalid, "From must be before To"},
	"BTRA_0026":  {KindInvalid, "too many days between From and To"},
	"BTRA_0027":  {KindDeclined, "not a non-profit"},
	"BTRA_0028":  {KindInvalid, "less than 0.01"},
	"BTRA_0029":  {KindInvalid, "a required parameter is missing"},
	"BTRA_0030":  {KindUnknown, "refund failed with a status error"},
	"BTRA_0031":  {KindDeclined, "no such ticket"},
	"BTRA_0032":  {KindDeclined, "the ticket is not confirmed"},
	"BTRA_0033":  {KindUnknown, "error creating the record"},
	"BTRA_0034":  {KindUnknown, "the record already exists"},
	"BTRA_0035":  {KindDeclined, "not in the expected status"},
	"BTRA_0036":  {KindDeclined, "assigned to another customer"},
	"BTRA_0037":  {KindDeclined, "canceled or failed"},
	"BTRA_0038":  {KindInvalid, "metadata over 40 characters"},
	"BTRA_0039":  {KindDeclined, "the ticket has expired"},
	"BTRA_0040":  {KindInvalid, "message over 50 characters"},
	"BTRA_0041":  {KindDeclined, "the ticket already has a phone number"},
	"BTRA_0042":  {KindInvalid, "tip over the limits"},
	"BTRA_0043":  {KindDeclined, "the business is not the payment's owner"},
	"BTRA_0044":  {KindDeclined, "over the financial institution's limits"},
	"BTRA_0045":  {KindDeclined, "over the card's limits"},
	codeNoRows:   {KindDeclined, "no transactions in the date range"},
	"BTRA_0047":  {KindInvalid, "the From date is in the future"},
	"BTRA_0048":  {KindInvalid, "the To date is in the future"},
	"BTRA_0049":  {KindDeclined, "no such customer"},
	"BTRA_0050":  {KindDeclined, "tips are disabled for the business"},
	"BTRA_0051":  {KindInvalid, "the tip exceeds the amount"},
	"BTRA_0052":  {KindInvalid, "both a tip and a percentage were given"},
	"BTRA_0053":  {KindDeclined, "no such reference number"},
	"BTRA_9998":  {KindUnknown, "communication error"},
	"BTRA_9999":  {KindUnknown, "internal error"},

	"3010":               {KindAuthentication, "public token invalid"},
	"3020":               {KindAuthentication, "public token revoked"},
	"3030":               {KindAuthentication, "public token required"},
	"3040":               {KindAuthentication, "private token invalid"},
	"3050":               {KindAuthentication, "private token revoked"},
	"3060":               {KindAuthentication, "private token required"},
	"3070":               {KindAuthentication, "tokens of different accounts"},
	"4010":               {KindInvalid, "reference number required"},
	"4020":               {KindDeclined, "not an e-commerce transaction"},
	codeNoLegacyTransfer: {KindDeclined, "no such transaction"},
	"5020":               {KindDeclined, "the transaction is not the business's"},
	"5030":               {KindDeclined, "transaction missing"},
	"7010":               {KindDeclined, "already refunded"},
	"7020":               {KindInvalid, "amount invalid"},
	"7030":               {KindInvalid, "amount required"},
	"7040":               {KindUnknown, "error completing the refund"},
}

// The codes with which the gateway says that a list is empty (docs/athmovil.md
// §1.8, §1.10).
const (
	codeNoRecord         = "BTRA_0022"
	codeNoRows           = "BTRA_0046"
	codeNoLegacyTransfer = "5010"
)

// codeForm is the form of an error code. Any other text in its place is dropped,
// because text from the gateway must not reach an error message.
var codeForm = regexp.MustCompile(`^([A-Z]{4}_[0-9]{4}|[0-9]{4}|token(\.[a-z]{1,12}){1,3})$`)

func cleanCode(text string) string {
	text = strings.TrimSpace(text)
	if !codeForm.MatchString(text) {
		return ""
	}
	return text
}

// kindOfCode is the kind of a response with the gateway's error envelope.
func kindOfCode(op Op, status int, errorCode string) Kind {
	if status >= http.StatusInternalServerError {
		return op.lost() // even with a code: the money may have moved before the error
	}
	if known, ok := codes[errorCode]; ok {
		if known.kind == KindUnknown {
			return op.lost()
		}
		return known.kind
	}
	// An undocumented code may mean anything, and so does none: whether money
	// moved is unknown. The other calls trust the HTTP status.
	switch {
	case op.class() == moneyCall:
		return KindUnknown
	case status == http.StatusTooManyRequests:
		return KindUnavailable
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return KindInvalid
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return KindAuthentication
	case status >= http.StatusBadRequest && status != http.StatusRequestTimeout:
		return KindDeclined
	default:
		return op.lost()
	}
}

// kindWithoutEnvelope is the kind of an unsuccessful response that is not the
// gateway's own: a proxy's HTML page, an empty body, a redirect, a truncated body
// (docs/athmovil.md §1.0).
func kindWithoutEnvelope(op Op, status int) Kind {
	if status == http.StatusTooManyRequests && op.class() != moneyCall {
		return KindUnavailable
	}
	return op.lost()
}
