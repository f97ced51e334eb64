package seal

import "time"

// SetClock sets the clock that decides when the ring checks its file.
func (r *Ring) SetClock(now func() time.Time) { r.file.now = now }

// MaxMode is the rule for the mode of a key file.
var MaxMode = maxMode
