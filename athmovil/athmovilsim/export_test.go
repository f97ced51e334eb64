package athmovilsim

import "errors"

// What the tests compare with README.md and with each other.

// Customers returns the scripted phone numbers and the rest of their rows in
// README.md.
func Customers() map[string]string {
	table := map[string]string{}
	for _, c := range customers {
		table[c.phone] = c.name + " | " + c.does
	}
	return table
}

// Faults returns the faults and what README.md says of them.
func Faults() map[string]string {
	table := map[string]string{}
	for _, h := range faultKinds {
		table[string(h.kind)] = h.does
	}
	return table
}

// Codes returns every error code.
func Codes() []string { return codes() }

// StatusOf returns the HTTP status of a code.
func StatusOf(code string) int { return errorCodes[code].status }

// FeeOf exposes the fee in cents.
func FeeOf(total int64, down bool) int64 { return int64(feeOf(cents(total), down)) }

// ParseAmount exposes the reading of amounts.
func ParseAmount(text string) (int64, error) {
	sum, err := parseAmount(text)
	return int64(sum), err
}

// SlowJournal makes every fsync ask first; an error of ask is the disk's.
func (s *Simulator) SlowJournal(ask func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.syncing.Lock()
	defer s.journal.syncing.Unlock()
	s.journal.file = askingFile{s.journal.file, ask}
}

type askingFile struct {
	journalFile
	ask func() error
}

func (f askingFile) Sync() error { return errors.Join(f.ask(), f.journalFile.Sync()) }

// BreakJournal makes the journal's disk fail from now on.
func (s *Simulator) BreakJournal() error { return s.journal.file.Close() }

// LogLimit is how many entries a log keeps.
const LogLimit = logLimit
