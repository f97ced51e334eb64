// Package workflows decides: what a payment or a refund does next, and nothing
// else. Its code is deterministic; every side effect is an activity.
package workflows
