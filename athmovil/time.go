package athmovil

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrTime is wrapped by the errors of [ParseTime].
var ErrTime = errors.New("not a time of the gateway")

// Location is America/Puerto_Rico, the place of the gateway's times, which
// carry no zone (docs/athmovil.md §3 "Time"). Where the machine has no time
// zone database and the program embeds none (import time/tzdata), it is a
// fixed zone of UTC−4 named AST: the same, as Puerto Rico has had no daylight
// saving time since 1945.
func Location() *time.Location { return puertoRico() }

var puertoRico = sync.OnceValue(func() *time.Location {
	location, err := time.LoadLocation("America/Puerto_Rico")
	if err != nil {
		return time.FixedZone("AST", -4*60*60)
	}
	return location
})

// ParseTime reads a time in any form that the gateway uses: "2006-01-02
// 15:04:05", the same with a fraction or with a T, or digits, which are
// seconds (up to 11 digits) or milliseconds since 1970. A text without a zone
// is a time of [Location]. Times before 1970 and
// after 9999 are refused. Errors wrap
// [ErrTime] and never repeat the text.
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
