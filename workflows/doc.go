// Package workflows decides: what a payment or a refund does next, and nothing
// else. Its code is deterministic; every side effect is an activity.
//
// Whoever starts ProcessPayment or RefundPayment has reserved the payment or the
// refund in the store.
//
// Four workflows write. ProcessPayment owns a payment from the reservation to the
// end. RefundPayment owns one refund. ApplyLateEvent takes the events that no
// payment's own workflow can take: those about refunds, and those that come
// after it has closed. SettleRefund takes a person's word on a refund whose own
// workflow is gone. Sweep starts, each minute, the workflow that a reservation
// lacks, and writes nothing. ReconcileDay compares a day with the gateway's report.
//
// # Waiting
//
// A workflow does not poll. The worker's poller looks at its ticket, and signals it
// once for each status that is not OPEN; the signal says nothing, so the workflow
// looks itself. It names its ticket with the row that opens, before that is
// written, and again every minute, so that neither a worker nor a store that dies
// leaves it alone. It looks unasked at the deadline, after a cancel, after an
// unknown outcome, and while it is in review.
//
// # Races
//
// Two things that happen at once have one declared outcome, whatever their
// order. A webhook is never one of the two: it only makes the workflow look, so
// a webhook that is early, late, doubled, lost or forged changes when something
// is seen and never what comes of it.
//
//	what meets what                              outcome
//	-------------------------------------------  ------------------------------------------------------
//	a confirmation meets the deadline            the look at the deadline decides: CONFIRM is authorized,
//	                                             OPEN is canceled at the gateway and looked at again
//	a confirmation overtakes that cancellation   it is authorized: the look after the cancellation says so
//	the merchant's cancel meets a confirmation   the cancel wins until Authorize is scheduled; after that
//	                                             it is answered with Authorize's outcome
//	the merchant's cancel meets the customer's   cancelled, by the merchant if the gateway took that cancel
//	the merchant's cancel meets the deadline     cancelled where the gateway took it before, else expired
//	the ticket is over near the deadline         expired, unless it was seen more than the margin (5 s)
//	                                             before: the gateway does not tell the two apart (§1.2);
//	                                             where it says EXPIRED, expired
//	Authorize is refused, by a code that is      a look: COMPLETED is completed; otherwise the ticket is
//	documented as without effect                 cancelled, and failed with the code once it is over
//	Authorize or a refund is refused otherwise   nobody knows, as if the answer were lost
//	Authorize finds the ticket over (BTRA_0039)  a look: CANCEL is expired or cancelled by the rule above
//	Authorize finds it not confirmed or done     a look: COMPLETED is completed, anything else goes on
//	(BTRA_0032, 0035, 0037)
//	Authorize's answer is lost                   looks until COMPLETED, or over, or CONFIRM for longer than
//	                                             a call lasts; then it was not executed and is sent again
//	somebody else authorized                     completed, with the gateway's reference
//	the poller sees what a look denies           nothing is decided; a look a minute later, and at the deadline
//	the gateway says COMPLETED of another        a review, which shows what was asked and what was
//	ticket or total, or with a reference number  answered; a look that agrees completes the payment, or a
//	that another payment has                     person does, and the gateway's total is what was captured
//	a webhook before the create answer           kept; handed over once the ticket is recorded
//	a completed webhook before the debit         kept; its payer counts when it agrees with the answer
//	a completed webhook after completion         within the moment: the notification carries its payer;
//	                                             later: the payer still reaches the store
//	a completed webhook after the workflow       ApplyLateEvent fills in the payer, where it agrees
//	an event that the gateway denies             changes nothing; recorded as a mismatch, once
//	an expired or cancelled event that does not  changes nothing, and is no mismatch: the ticket may be one
//	name the completed payment's ticket          whose answer was lost
//	the gateway says COMPLETED of a payment      recorded as a mismatch; a terminal status never changes
//	that ended otherwise
//	the gateway is away for an hour              looks go on; a review is asked for after the grace period;
//	                                             the first answer decides and ends the review
//	the gateway is away for two days             the same; notifications and refunds wait, nothing is guessed
//	a person's word meets the gateway's          a fresh look comes first, and what is definite wins
//	two payments of one reference                the first to reserve it; the other is refused and keeps nothing
//	the API dies before it starts a workflow     Sweep starts it: a refund is sent, a payment ends as stale
//	two refunds of one payment                   one after the other: a reservation is exclusive
//	a refund's answer is lost                    completed where the total rose by exactly the amount with
//	                                             no sign of another refund; else a review; never sent again
//	a refund is refused, by a code that is       failed where a look agrees: the total rose by less than the
//	documented as without effect                 amount; otherwise nobody knows, as if its answer were lost
//	a look tells of another sale than ours       before a refund: it is not sent; after: it proves nothing
//	the event of a refund that we hold for       booked where the total shows it, else recorded as a
//	failed                                       mismatch; while the refund is pending it waits
//	a refund elsewhere before ours               booked first, so that the difference afterwards is ours
//	a refund elsewhere while ours is unsettled   its event waits until ours is settled, and counts as a sign
//	two equal refunds elsewhere                  two bookings: each needs its own part of the total's unbooked
//	a reset of a refund's workflow, or a         a try that was given the right to send is not given it
//	restored Temporal that runs it again         again: its outcome is unknown
//	a refund's workflow comes back, or meets     SettleRefund took the right to send from every run: nothing
//	a person's word on what it left              is sent, and what it writes is not heard
//
// (§ numbers are of docs/athmovil.md.)
package workflows
