package poller

import (
	"crypto/sha256"
	"encoding/binary"
)

// owner returns which of the workers looks at a payment's ticket: the one with
// the highest digest of both names (rendezvous hashing), so that a worker who
// comes or goes moves only its own share. Everybody who knows the same workers
// gets the same answer.
func owner(workers []string, paymentID string) string {
	var chosen string
	var most uint64
	for _, worker := range workers {
		digest := sha256.Sum256([]byte(worker + "\x00" + paymentID))
		if weight := binary.BigEndian.Uint64(digest[:8]); chosen == "" || weight > most {
			chosen, most = worker, weight
		}
	}
	return chosen
}
