package athmovilsim

import (
	"crypto/subtle"
	"strings"
	"time"
)

// legacyAuthenticate returns the business of both tokens. Its error codes are those
// of the www host (docs/athmovil.md §1.10).
func (s *Simulator) legacyAuthenticate(f fields) (Business, error) {
	public, _ := f.optional("publicToken")
	private, _ := f.optional("privateToken")
	b, known := s.businesses[public]
	switch {
	case public == "":
		return Business{}, refuse(codeLegacyNoPublic)
	case private == "":
		return Business{}, refuse(codeLegacyNoPrivate)
	case !known:
		return Business{}, refuse(codeLegacyPublicToken)
	case subtle.ConstantTimeCompare([]byte(private), []byte(b.PrivateToken)) == 1:
		return b, nil
	}
	for _, other := range s.businesses {
		if private == other.PrivateToken {
			return Business{}, refuse(codeLegacyOtherAccount)
		}
	}
	return Business{}, refuse(codeLegacyPrivateToken)
}

// report lists the transactions between two times (docs/athmovil.md §1.8).
func (s *Simulator) report(c call, now time.Time) (effect, error) {
	f, b, err := readBody(c, s.legacyAuthenticate)
	if err != nil {
		return effect{}, err
	}
	from, to, err := s.reportRange(f, now)
	if err != nil {
		return effect{}, err
	}
	found := s.transactionsOf(b)
	if len(found) == 0 {
		return effect{}, refuse(codeNoRecords)
	}
	var rows []reportRow
	for _, t := range found {
		if !t.at.Before(from) && !t.at.After(to) {
			rows = append(rows, reportRow{t, decimal(t.refunded)})
		}
	}
	if len(rows) == 0 {
		return effect{}, refuse(codeNothingInRange)
	}
	return effect{answer: rows}, nil
}

// reportRange reads the range of a report, up to the end of the last second. It may
// end later today, as clients ask for whole days, but not tomorrow.
func (s *Simulator) reportRange(f fields, now time.Time) (from, to time.Time, err error) {
	parseDate := func(name, code string) (time.Time, error) {
		value, err := f.required(name)
		if err != nil {
			return time.Time{}, err
		}
		at, err := time.ParseInLocation(naiveTime, value, puertoRico)
		if err != nil {
			return time.Time{}, refuse(code)
		}
		return at, nil
	}
	if from, err = parseDate("fromDate", codeBadFrom); err != nil {
		return from, to, err
	}
	if to, err = parseDate("toDate", codeBadTo); err != nil {
		return from, to, err
	}
	days := s.config.Settings.ReportDays
	today := now.In(puertoRico)
	tomorrow := time.Date(today.Year(), today.Month(), today.Day()+1, 0, 0, 0, 0, puertoRico)
	switch {
	case !from.Before(to):
		err = refuse(codeFromAfterTo)
	case from.After(now):
		err = refuse(codeFutureFrom)
	case !to.Before(tomorrow):
		err = refuse(codeFutureTo)
	case to.Sub(from) >= time.Duration(days)*24*time.Hour:
		err = refuse(codeRangeTooLong, days)
	}
	return from, to.Add(time.Second - time.Nanosecond), err
}

// searchFields lists the fields of a search (docs/athmovil.md §1.9).
func searchFields() []string {
	return []string{
		"referenceNumber", "dailyTransactionID", "name", "phoneNumber", "email", "total", "metadata1", "metadata2",
	}
}

// search finds transactions by exact values (docs/athmovil.md §1.9).
func (s *Simulator) search(c call, _ time.Time) (effect, error) {
	f, b, err := readBody(c, s.legacyAuthenticate)
	if err != nil {
		return effect{}, err
	}
	wanted := map[string]string{}
	for _, name := range searchFields() {
		value, err := f.optional(name)
		if err != nil {
			return effect{}, err
		}
		if value = strings.TrimSpace(value); value != "" {
			wanted[name] = value
		}
	}
	if len(wanted) == 0 {
		return effect{}, refuse(codeMissingParameter, "referenceNumber")
	}
	if total, asked := wanted["total"]; asked {
		sum, err := parseAmount(total)
		if err != nil {
			return effect{}, err
		}
		wanted["total"] = sum.String()
	}
	var rows []foundRow
	for _, t := range s.transactionsOf(b) {
		if t.matches(wanted) {
			rows = append(rows, foundRow{t, decimal(t.refunded)})
		}
	}
	switch len(rows) {
	case 0:
		return effect{}, refuse(codeLegacyUnknown)
	case 1:
		return effect{answer: rows[0]}, nil
	default:
		return effect{answer: rows}, nil
	}
}
