package settings

import (
	"strconv"
	"strings"
	"time"

	"github.com/cobropay/cobro/private"
)

// Read returns what some programs read, and what of it cannot be read. A
// variable that is set to nothing is not set, and its default counts; a few stay
// zero instead, whose default is that of the library that takes them: Timing, the
// gateway's addresses, CallTimeout and CallsPerSecond. [Check] finds what is
// missing or unwise too.
func Read(of Program, getenv func(string) string) (Settings, []Problem) {
	problems := CheckFiles(getenv)
	var s Settings
	getenv = Files(getenv)
	for _, row := range s.table() {
		if row.Of&of == 0 || row.field == nil {
			continue
		}
		value := getenv(row.Name)
		switch row.field.(type) {
		case *int, *bool, *time.Duration: // of texts Check says what is wrong, and the program that meets one
			if wrong := row.check(value); value != "" && len(wrong) > 0 {
				problems = append(problems, wrong...)
				value = ""
			}
		}
		if value == "" && !row.sparse {
			value = row.DefaultFor(of)
		}
		if value != "" && value != none {
			set(row.field, value)
		}
	}
	s.Timing.Call = s.CallTimeout
	return s, problems
}

// none is a default that people read, and no value.
const none = "none"

// set puts a value into a field. The check has refused what cannot be parsed.
func set(field any, value string) {
	switch field := field.(type) {
	case *string:
		*field = value
	case *private.Token:
		*field = private.NewToken(value)
	case *[]string:
		*field = strings.Split(value, ",")
	case *int:
		*field, _ = strconv.Atoi(value)
	case *bool:
		*field, _ = strconv.ParseBool(value)
	case *time.Duration:
		*field, _ = time.ParseDuration(value)
	}
}
