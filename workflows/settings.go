package workflows

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// TimingFromEnv reads a Timing from variables such as COBRO_TIMING_DETAILS=10s,
// one for each field, and reports every mistake at once. What is not set stays
// zero, which means the field's default.
func TimingFromEnv(getenv func(string) string) (Timing, error) {
	var t Timing
	var problems []error
	for _, setting := range []struct {
		name  string
		field *time.Duration
	}{
		{"COBRO_TIMING_DETAILS", &t.Details},
		{"COBRO_TIMING_CANCEL_MARGIN", &t.CancelMargin},
		{"COBRO_TIMING_GRACE", &t.Grace},
		{"COBRO_TIMING_STALE", &t.Stale},
		{"COBRO_TIMING_POLL_FIRST", &t.PollFirst},
		{"COBRO_TIMING_POLL_MOST", &t.PollMost},
		{"COBRO_TIMING_HEARTBEAT", &t.Heartbeat},
		{"COBRO_CALL_TIMEOUT", &t.Call},
		{"COBRO_TIMING_SETTLE", &t.Settle},
		{"COBRO_TIMING_REVIEW", &t.Review},
	} {
		text := getenv(setting.name)
		if text == "" {
			continue
		}
		value, err := time.ParseDuration(text)
		if err != nil || value <= 0 {
			problems = append(problems, fmt.Errorf("%s must be a duration such as \"30s\"", setting.name))
			continue
		}
		*setting.field = value
	}
	if text := getenv("COBRO_FORBID_SECOND_AUTHORIZE"); text != "" {
		forbid, err := strconv.ParseBool(text)
		if err != nil {
			problems = append(problems, errors.New("COBRO_FORBID_SECOND_AUTHORIZE must be true or false"))
		}
		t.ForbidSecondAuthorize = forbid
	}
	return t, errors.Join(problems...)
}
