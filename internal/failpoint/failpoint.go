// Package failpoint names the points in the code where crash tests kill a process.
// Without the build tag "failpoint" it does nothing. With it, a process that
// reaches the point in COBRO_FAILPOINT kills itself with SIGKILL.
//
//	COBRO_FAILPOINT=authorize-after@2     the second time the point is reached; default @1
//	COBRO_FAILPOINT_MARK=/path/of/a/file  created before the kill; if it exists, the process lives on
package failpoint

// Point is a named point in the code.
type Point string

// The points. "Before" means that nothing has been sent. "After" means that the
// effect has happened, but the result is not recorded yet.
const (
	CreateBefore    Point = "create-before"
	CreateAfter     Point = "create-after"
	FindBefore      Point = "find-before"
	FindAfter       Point = "find-after"
	SeenBefore      Point = "seen-before" // the poller found the ticket no longer open; its workflow does not know
	SeenAfter       Point = "seen-after"
	AuthorizeBefore Point = "authorize-before"
	AuthorizeAfter  Point = "authorize-after"
	CancelBefore    Point = "cancel-before"
	CancelAfter     Point = "cancel-after"
	PhoneBefore     Point = "phone-before"
	PhoneAfter      Point = "phone-after"
	RefundBefore    Point = "refund-before" // sending it is claimed already
	RefundAfter     Point = "refund-after"

	RecordBefore       Point = "record-before"
	RecordAfter        Point = "record-after"
	ReserveBefore      Point = "reserve-before"
	ReserveAfter       Point = "reserve-after"
	RecordRefundBefore Point = "record-refund-before"
	RecordRefundAfter  Point = "record-refund-after"
	BookBefore         Point = "book-before" // a refund made outside Cobro
	BookAfter          Point = "book-after"

	NotifyBefore Point = "notify-before"
	NotifyAfter  Point = "notify-after" // the receiver has returned; Temporal does not know yet

	OpenBefore          Point = "open-before"           // POST /v1/payments: before the workflow starts
	OpenAfter           Point = "open-after"            // after it answered, before the response to the merchant
	RefundRequestBefore Point = "refund-request-before" // POST …/refunds, likewise
	RefundRequestAfter  Point = "refund-request-after"
	WebhookBefore       Point = "webhook-before" // received, not stored yet
	WebhookStored       Point = "webhook-stored" // stored, not answered yet
	RelayBefore         Point = "relay-before"   // leased, not handed over yet
	RelayAfter          Point = "relay-after"    // handed over, not settled yet
)

// Points lists every point.
func Points() []Point {
	return []Point{
		CreateBefore, CreateAfter, FindBefore, FindAfter, SeenBefore, SeenAfter, AuthorizeBefore, AuthorizeAfter, CancelBefore, CancelAfter,
		PhoneBefore, PhoneAfter, RefundBefore, RefundAfter,
		RecordBefore, RecordAfter, ReserveBefore, ReserveAfter, RecordRefundBefore, RecordRefundAfter, BookBefore, BookAfter,
		NotifyBefore, NotifyAfter,
		OpenBefore, OpenAfter, RefundRequestBefore, RefundRequestAfter, WebhookBefore, WebhookStored, RelayBefore, RelayAfter,
	}
}

// InAPI reports whether the API's process reaches the point, rather than a
// worker.
func (p Point) InAPI() bool {
	switch p {
	case OpenBefore, OpenAfter, RefundRequestBefore, RefundRequestAfter, WebhookBefore, WebhookStored, RelayBefore, RelayAfter:
		return true
	default:
		return false
	}
}
