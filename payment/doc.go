// Package payment is the domain: what a payment is, which statuses it goes
// through, and what receivers get. It is pure: no I/O, no clock, and
// nothing of Temporal, of HTTP or of the gateway's wire format.
//
// # Statuses
//
//	pending ─▶ open ─▶ confirmed ─▶ completed
//	   │        │         │
//	   └────────┴─────────┴──▶ cancelled · expired · failed
//
// One function, [Next], owns every transition; nobody assigns a status by
// hand. What moves a payment is a [Fact], and a fact is the gateway's own
// answer or, in review, a person's recorded decision, never a webhook's claim. "Needs review" is a flag beside the
// status, not a status.
//
// # Events
//
// Each transition that a merchant cares about has an [Event], delivered to
// receivers as a [Notification]. The five names that users of django-athm know
// come first: payment_created, payment_completed, payment_failed,
// payment_expired and refund_completed.
//
// Values of this package are not safe for concurrent modification; copies are
// independent except for the pointers and slices they share, which are never
// written after they were set.
package payment
