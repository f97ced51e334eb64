package athmovil

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrTime is returned by [ParseTime].
var ErrTime = errors.New("not a time in any form that the gateway uses")

// Location is America/Puerto_Rico, the time zone of the gateway's times, which
// do not name one (docs/athmovil.md §3 "Time"). Without a time zone database on
// the machine or in the program (import time/tzdata), it is a fixed zone named
// AST, UTC−4. The two are equal: Puerto Rico has had no daylight saving time
// since 1945.
func Location() *time.Location { return puertoRico() }

var puertoRico = sync.OnceValue(func() *time.Location {
	location, err := time.LoadLocation("America/Puerto_Rico")
	if err != nil {
		return time.FixedZone("AST", -4*60*60)
	}
	return location
})

// ParseTime reads a time in any form that the gateway uses: "2006-01-02
// 15:04:05", the same with a fraction or a T, or digits, which are seconds (up to
// 11 digits) or milliseconds since 1970. The result is in [Location], as is a
// text without a zone. Times before 1970 and after 9999 are refused. The error is
// [ErrTime], which never quotes the text.
func ParseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text != "" && strings.Trim(text, "0123456789") == "" {
		return parseEpoch(text)
	}
	for _, layout := range []string{time.DateTime, "2006-01-02T15:04:05", time.RFC3339} {
		at, err := time.ParseInLocation(layout, text, Location())
		if err == nil && at.Unix() >= 0 && at.In(Location()).Year() <= 9999 {
			return at.In(Location()), nil
		}
	}
	return time.Time{}, ErrTime
}

func parseEpoch(digits string) (time.Time, error) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || len(digits) > 14 {
		return time.Time{}, ErrTime
	}
	if len(digits) <= 11 {
		return time.Unix(n, 0).In(Location()), nil
	}
	return time.UnixMilli(n).In(Location()), nil
}
