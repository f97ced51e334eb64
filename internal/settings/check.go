package settings

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cobropay/cobro/payment"
)

// minSecret is the fewest characters of a secret that people choose.
const minSecret = 16

// Problem is something wrong with a setting, and what to do about it. It never
// quotes a secret.
type Problem struct {
	Setting string `json:"setting"`
	Problem string `json:"problem"`
	Do      string `json:"do"`
	// Warning is set where programs run all the same.
	Warning bool `json:"warning"`
	// Misspelled is set where nothing reads the variable.
	Misspelled bool `json:"misspelt,omitempty"`
}

// Error implements error.
func (p Problem) Error() string { return p.Setting + " " + p.Problem + ": " + p.Do }

// Join returns the problems that keep a program from running as one error, nil
// where there are none.
func Join(problems []Problem) error {
	var all []error
	for _, p := range problems {
		if !p.Warning {
			all = append(all, p)
		}
	}
	return errors.Join(all...)
}

// Check returns everything that is wrong with the settings of some programs.
// environ is what os.Environ gives; nil leaves out the search for misspelled names.
func Check(of Program, getenv func(string) string, environ []string) []Problem {
	var problems []Problem
	resolved := Files(getenv)
	for _, s := range All() {
		var file []Problem
		if s.Secret() {
			file = checkFile(s, getenv)
			problems = append(problems, file...)
		}
		value := resolved(s.Name)
		switch {
		case s.Of&of == 0 && (s.Of&Everything != 0 || s.Of&Anyone == 0): // others read it
		case value != "":
			problems = append(problems, s.check(value)...)
		case s.Needs&of != 0 && Join(file) == nil:
			problems = append(problems, Problem{Setting: s.Name, Problem: "is not set", Do: s.do})
		}
	}
	problems = append(problems, together(of, getenv)...)
	return append(problems, misspelled(environ)...)
}

// check reports what is wrong with one value.
func (s Setting) check(value string) []Problem {
	wrong := func(problem, do string) []Problem {
		return []Problem{{Setting: s.Name, Problem: problem, Do: do}}
	}
	if s.kind != database && s.kind != path && strings.TrimSpace(value) != value {
		return wrong("begins or ends with a space", "remove it; it may come from the file or the line that sets it")
	}
	switch s.kind {
	case secret, urlSecret:
		return s.checkSecret(value)
	case duration, pause:
		if d, err := time.ParseDuration(value); err != nil || d < 0 || d == 0 && s.kind == duration {
			return wrong("is not a duration", `write it like "30s" or "2m"`)
		}
	case count:
		if n, err := strconv.Atoi(value); err != nil || n < 0 {
			return wrong("is not a whole number", `write it like "100"`)
		}
	case webAddress:
		if !isWebAddress(value) {
			return wrong("is not an address", "write it like https://pay.example.com, without a question mark")
		}
		if s.Name == "COBRO_PUBLIC_URL" && strings.Contains(value, webhooksPath) {
			return wrong("has the path of the webhooks", "end it before "+webhooksPath+": the path and the secret are added, so that the secret is in no address")
		}
	case listen:
		if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
			return wrong("is not an address to listen on", "write it like 127.0.0.1:8080")
		}
	case clock:
		if _, err := time.Parse("15:04", value); err != nil && value != "off" {
			return wrong("is not a time of day", `write it like "02:00", or "off"`)
		}
	case boolean:
		if _, err := strconv.ParseBool(value); err != nil {
			return wrong("is neither true nor false", "write true or false")
		}
	case origins:
		for _, origin := range strings.Split(value, ",") {
			u, err := url.Parse(origin)
			if err != nil || !isWebAddress(origin) || u.Path != "" {
				return wrong("holds something that is not an origin", "write it like https://temporal.example.com, without a path or a slash at the end")
			}
		}
	case oneOf:
		if !slices.Contains(s.words, value) {
			return wrong("is none of "+strings.Join(s.words, ", "), "write one of them")
		}
	case text, path, database, family:
	}
	return nil
}

// unreserved may stand in an address as it is.
const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

func (s Setting) checkSecret(value string) []Problem {
	var problems []Problem
	wrong := func(problem, do string) {
		problems = append(problems, Problem{Setting: s.Name, Problem: problem, Do: do})
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		wrong("holds a space or a character that no header takes", "copy it again, or choose another")
	}
	if s.kind == urlSecret && strings.Trim(value, unreserved) != "" {
		wrong("holds a character that an address cannot", "use letters, digits and -._~ only, "+openssl)
	}
	if s.Name == "COBRO_API_KEY" && strings.Contains(value, ",") {
		wrong("holds a comma", "set one key without a comma: this is not a list")
	}
	if s.Name != "COBRO_ATHM_PRIVATE_TOKEN" && len(value) < minSecret {
		wrong(fmt.Sprintf("has fewer than %d characters", minSecret), "choose a longer one, "+openssl)
	}
	return problems
}

func isWebAddress(value string) bool {
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// together reports settings that do not go with each other.
func together(of Program, getenv func(string) string) []Problem {
	var problems []Problem
	warn := func(setting, problem, do string) {
		problems = append(problems, Problem{Setting: setting, Problem: problem, Do: do, Warning: true})
	}
	s, _ := Read(of, getenv) // what cannot be read is a problem already, and its default counts here
	if of&Worker != 0 {
		set, missing := "COBRO_GATEWAY_URL", "COBRO_GATEWAY_REPORT_URL"
		if s.GatewayURL == "" {
			set, missing = missing, set
		}
		if (s.GatewayURL == "") != (s.GatewayReportURL == "") {
			problems = append(problems, Problem{
				Setting: missing, Problem: "is not set while " + set + " is: payments and reports would come from different gateways",
				Do: "set both, to the same simulator, or neither",
			})
		}
		for _, gateway := range [][2]string{{"COBRO_GATEWAY_URL", s.GatewayURL}, {"COBRO_GATEWAY_REPORT_URL", s.GatewayReportURL}} {
			if strings.HasPrefix(gateway[1], "http://") {
				warn(gateway[0], "is not encrypted", "remove it where real payments are taken: it is for a simulator")
			}
		}
	}
	if of == Everything && s.MinExpiresIn < payment.MinExpiresIn && s.GatewayURL == "" {
		warn("COBRO_MIN_EXPIRES_IN", fmt.Sprintf("is less than the %.0f seconds that ATH Móvil takes", payment.MinExpiresIn.Seconds()),
			"remove it: it is for a simulator")
	}
	if of&API != 0 && s.Drain >= s.StopTimeout {
		warn("COBRO_DRAIN", "is no less than COBRO_STOP_TIMEOUT, which bounds both: requests may be cut at the end",
			"set COBRO_STOP_TIMEOUT to 10 seconds more than COBRO_DRAIN")
	}
	if of&API != 0 && s.CodecOrigins != nil && s.CodecToken.IsZero() && !loopback(s.OpsListen) {
		warn("COBRO_CODEC_TOKEN", "is not set, and /codec/ is served to more than this machine: whoever reaches it reads every history",
			"set it, or remove COBRO_CODEC_ORIGINS")
	}
	return problems
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// named begins the names that people choose themselves, for secrets that a file
// of theirs refers to.
const named = "COBRO_ENDPOINT_"

// misspelled reports variables that begin with COBRO_ and that nothing reads.
func misspelled(environ []string) []Problem {
	known := slices.Clone(tools)
	for _, s := range All() {
		known = append(known, s.Name)
		if s.Secret() {
			known = append(known, s.Name+fileSuffix)
		}
	}
	var problems []Problem
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "COBRO_") || strings.HasPrefix(name, named) || slices.Contains(known, name) {
			continue
		}
		p := Problem{Setting: name, Problem: "is not a setting: nothing reads it", Misspelled: true, Do: "remove it, or give it another first word than COBRO"}
		if near := nearest(name, known); near != "" {
			p.Do = "did you mean " + near + "?"
		}
		problems = append(problems, p)
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Setting, b.Setting) })
	return problems
}

// nearest returns the known name that takes the fewest changed letters, if they
// are few: a third of what follows COBRO_.
func nearest(name string, known []string) string {
	best, least := "", 1+(len(name)-len("COBRO_"))/3
	for _, candidate := range known {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the letters to insert, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			row[j+1] = min(changed, above+1, row[j]+1)
			diagonal = above
		}
	}
	return row[len(b)]
}

// Describe lists problems for people, one a line.
func Describe(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		kind := "problem"
		if p.Warning {
			kind = "warning"
		}
		fmt.Fprintf(&b, "%s: %s\n", kind, p.Error())
	}
	return b.String()
}
