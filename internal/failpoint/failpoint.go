// Package failpoint names the moments at which the crash matrix kills a
// process. Without the build tag "failpoint" it does nothing; with it, a
// process whose COBRO_FAILPOINT names a point dies there by SIGKILL.
//
//	COBRO_FAILPOINT=authorize-after@2     the second time that the point is reached; @1 where absent
//	COBRO_FAILPOINT_MARK=/path/of/a/file  made before dying; a process that finds it lives
package failpoint

// Point is a named moment.
type Point string

// The points. "Before" a call nothing has been sent; "after" it the effect is
// done and nobody knows yet.
const (
	CreateBefore    Point = "create-before"
	CreateAfter     Point = "create-after"
	FindBefore      Point = "find-before"
	FindAfter       Point = "find-after"
	AuthorizeBefore Point = "authorize-before"
	AuthorizeAfter  Point = "authorize-after"
	CancelBefore    Point = "cancel-before"
	CancelAfter     Point = "cancel-after"
	PhoneBefore     Point = "phone-before"
	PhoneAfter      Point = "phone-after"
	RefundBefore    Point = "refund-before" // the right to send it is claimed
	RefundAfter     Point = "refund-after"

	RecordBefore       Point = "record-before"
	RecordAfter        Point = "record-after"
	ReserveBefore      Point = "reserve-before"
	ReserveAfter       Point = "reserve-after"
	RecordRefundBefore Point = "record-refund-before"
	RecordRefundAfter  Point = "record-refund-after"
	BookBefore         Point = "book-before" // of a refund made elsewhere
	BookAfter          Point = "book-after"

	NotifyBefore Point = "notify-before"
	NotifyAfter  Point = "notify-after" // the receiver has returned, and Temporal does not know

	OpenBefore    Point = "open-before" // of POST /v1/payments: before the workflow is started
	OpenAfter     Point = "open-after"  // and after it answered, before the merchant hears
	GiveBefore    Point = "give-before" // of POST …/refunds
	GiveAfter     Point = "give-after"
	WebhookBefore Point = "webhook-before" // received, and not durable yet
	WebhookStored Point = "webhook-stored" // durable, and not answered yet
	RelayBefore   Point = "relay-before"   // leased, and not handed over yet
	RelayAfter    Point = "relay-after"    // handed over, and not settled yet
)

// Points lists every point.
func Points() []Point {
	return []Point{
		CreateBefore, CreateAfter, FindBefore, FindAfter, AuthorizeBefore, AuthorizeAfter, CancelBefore, CancelAfter,
		PhoneBefore, PhoneAfter, RefundBefore, RefundAfter,
		RecordBefore, RecordAfter, ReserveBefore, ReserveAfter, RecordRefundBefore, RecordRefundAfter, BookBefore, BookAfter,
		NotifyBefore, NotifyAfter,
		OpenBefore, OpenAfter, GiveBefore, GiveAfter, WebhookBefore, WebhookStored, RelayBefore, RelayAfter,
	}
}

// InAPI reports whether the point is reached by the process of the API, and
// not by a worker's.
func (p Point) InAPI() bool {
	switch p {
	case OpenBefore, OpenAfter, GiveBefore, GiveAfter, WebhookBefore, WebhookStored, RelayBefore, RelayAfter:
		return true
	default:
		return false
	}
}
