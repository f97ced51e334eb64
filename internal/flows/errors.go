// Package flows has the errors of those who ask the workflows, so that a caller
// can tell what Temporal said without knowing Temporal.
package flows

import "errors"

var (
	// ErrStillWorking says that the request was taken and that its outcome is
	// not known yet.
	ErrStillWorking = errors.New("the workflow is still working")
	// ErrAlreadyEnded says that the workflow which was to be started has
	// already run and closed.
	ErrAlreadyEnded = errors.New("the workflow has already ended")
	// ErrEnded says that the workflow which was asked is closed or unknown.
	ErrEnded = errors.New("the workflow has ended")
	// ErrUnavailable says that Temporal cannot be reached, or refuses to work
	// at the moment. Whether the request was taken is not known.
	ErrUnavailable = errors.New("temporal is not available")
)
