package seal

import "time"

// SetClock gives the clock by which a ring looks at its file.
func (r *Ring) SetClock(now func() time.Time) { r.file.now = now }

// Permitted is the rule for the mode of a key file.
var Permitted = permitted
