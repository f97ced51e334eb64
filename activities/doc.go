// Package activities holds every side effect of the workflows: calls to the
// gateway ([Gateway]), writes to the store ([Records]) and the merchant's
// receivers ([Notifications]).
//
// Money moves at two call sites, [Gateway.Authorize] and [Gateway.Refund].
// Neither is ever retried blindly: an outcome that is not known is reported as
// such, and the workflow looks before it decides.
package activities
