package ledger

// EventKind says what a gateway event tells of (docs/athmovil.md §4.2). Stored:
// never rename a value.
type EventKind string

// The kinds that Cobro acts on. Any other one concerns no payment of ours.
const (
	KindPaymentCompleted EventKind = "ecommerce_completed"
	KindPaymentCancelled EventKind = "ecommerce_cancelled"
	KindPaymentExpired   EventKind = "ecommerce_expired"
	KindRefund           EventKind = "refund"
)
