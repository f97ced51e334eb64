package store

import "time"

// SetTimeout changes how long one call may take.
func SetTimeout(s *Store, d time.Duration) { s.timeout = d }
