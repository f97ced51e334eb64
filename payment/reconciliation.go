package payment

import "time"

// Reconciliation is what comparing one day with the gateway's report came to.
// Its JSON is the API's.
type Reconciliation struct {
	RunID       string    `json:"run_id"` // of the workflow
	Day         string    `json:"day"`    // "2006-01-02", in Puerto Rico
	StartedAt   time.Time `json:"started_at"`
	EndedAt     time.Time `json:"ended_at"`
	Rows        int       `json:"rows"`        // read of the report
	Matched     int       `json:"matched"`     // of them, payments of ours
	Filled      int       `json:"filled"`      // payers that only the report knew
	Booked      int       `json:"booked"`      // refunds made elsewhere that no event reported
	Mismatches  int       `json:"mismatches"`  // differences, known ones too
	Quarantined int       `json:"quarantined"` // spans without an answer, and rows that cannot be read
}
