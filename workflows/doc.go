// Package workflows decides: what a payment or a refund does next, and nothing
// else. Its code is deterministic; every side effect is an activity.
//
// Four workflows write. ProcessPayment owns a payment from the request to the
// end. RefundPayment owns one refund. ApplyLateEvent takes the events that no
// payment's own workflow can take: those about refunds, and those that come
// after it has closed. SettleRefund takes a person's word on a refund whose own
// workflow is gone. ReconcileDay compares a day with the gateway's report.
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
//	                                             before: the gateway does not tell the two apart (§1.2)
//	Authorize finds the ticket over (BTRA_0039)  a look: CANCEL is expired or cancelled by the rule above
//	Authorize finds it not confirmed or done     a look: COMPLETED is completed, anything else goes on
//	(BTRA_0032, 0035, 0037)
//	Authorize finds the token expired            failed, with the code; after an earlier try without an
//	                                             answer a look comes first, and COMPLETED is completed
//	Authorize's answer is lost                   looks until COMPLETED, or over, or CONFIRM for longer than
//	                                             a call lasts; then it was not executed and is sent again
//	somebody else authorized                     completed, with the gateway's reference
//	a webhook before the create answer           kept; handed over once the ticket is recorded
//	a completed webhook before the debit         kept; its payer counts when it agrees with the answer
//	a completed webhook after completion         within the moment: the notification carries its payer;
//	                                             later: the payer still reaches the store
//	a completed webhook after the workflow       ApplyLateEvent fills in the payer, where it agrees
//	an event that the gateway denies             changes nothing; recorded as a mismatch, once
//	the gateway says COMPLETED of a payment      recorded as a mismatch; a terminal status never changes
//	that ended otherwise
//	the gateway is away for an hour              looks go on; a review is asked for after the grace period;
//	                                             the first answer decides and ends the review
//	the gateway is away for two days             the same; notifications and refunds wait, nothing is guessed
//	a person's word meets the gateway's          a fresh look comes first, and what is definite wins
//	two refunds of one payment                   one after the other: a reservation is exclusive
//	a refund's answer is lost                    completed where the total rose by exactly the amount with
//	                                             no sign of another refund; else a review; never sent again
//	a refund elsewhere before ours               booked first, so that the difference afterwards is ours
//	a refund elsewhere while ours is unsettled   its event waits until ours is settled, and counts as a sign
//	two equal refunds elsewhere                  two bookings: each needs its own part of the total's unbooked
//	a reset of a refund's workflow               the second run is not given the right to send
//	a refund's workflow comes back, or meets     SettleRefund took the right to send from every run: nothing
//	a person's word on what it left              is sent, and what it writes is not heard
//
// (§ numbers are of docs/athmovil.md.)
package workflows
