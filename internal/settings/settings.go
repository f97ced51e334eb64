// Package settings knows every variable that Cobro's programs read: its name,
// its form, who needs it, and what to do where it is wrong. The programs read
// the variables themselves; this package finds all mistakes at once, and those
// that no program would ever see, such as a misspelt name.
//
// A secret NAME can be in a file instead, which NAME_FILE names ([Files]).
package settings

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cobropay/cobro/private"
)

// Program is one that reads settings, or several of them.
type Program uint8

// The programs.
const (
	API Program = 1 << iota
	Worker
	// Everything is an installation.
	Everything = API | Worker
)

// form is what a setting's text must look like.
type form int

const (
	text form = iota + 1
	secret
	urlSecret // a secret that is a part of an address
	database
	path
	duration
	pause // a duration, or none
	count
	webAddress // http:// or https://, without a query
	listen     // host:port
	clock      // 02:00, or off
	boolean
	origins // web addresses without a path, separated by commas
	oneOf   // of Setting.words
)

// Setting is one variable.
type Setting struct {
	Name    string
	Default string  // as people would write it; empty means none
	Of      Program // who reads it; none is a tool or a program for developers
	Needs   Program // who does not run without it
	form    form
	words   []string
}

// All returns every setting, in the order in which people meet them.
func All() []Setting {
	return []Setting{
		{Name: "COBRO_STORE", Of: Everything, Needs: Everything, form: database},
		{Name: "COBRO_KEY_FILE", Of: Everything, Needs: Everything, form: path},
		{Name: "COBRO_MERCHANT_ID", Of: API, Default: "default", form: text},
		{Name: "COBRO_API_KEY", Of: API, Needs: API, form: secret},
		{Name: "COBRO_WEBHOOK_SECRET", Of: API, Needs: API, form: urlSecret},
		{Name: "COBRO_ATHM_PUBLIC_TOKEN", Of: Worker, Needs: Worker, form: text},
		{Name: "COBRO_ATHM_PRIVATE_TOKEN", Of: Worker, Needs: Worker, form: secret},
		{Name: "COBRO_PUBLIC_URL", form: webAddress},

		{Name: "COBRO_LISTEN", Of: API, Default: "127.0.0.1:8080", form: listen},
		{Name: "COBRO_OPS_LISTEN", Of: Everything, Default: "127.0.0.1:8081 (api), none (worker)", form: listen},
		{Name: "COBRO_CODEC_ORIGINS", Of: API, form: origins},
		{Name: "COBRO_CODEC_TOKEN", Of: API, form: secret},

		{Name: "COBRO_GATEWAY_URL", Of: Worker, Default: "https://payments.athmovil.com", form: webAddress},
		{Name: "COBRO_GATEWAY_REPORT_URL", Of: Worker, Default: "https://www.athmovil.com", form: webAddress},
		{Name: "COBRO_CALL_TIMEOUT", Of: Everything, Default: "30s", form: duration},
		{Name: "COBRO_CALLS_PER_SECOND", Of: Worker, Default: "no bound", form: count},
		{Name: "COBRO_WAITING", Of: Worker, Default: "10000", form: count},
		{Name: "COBRO_RECONCILE_AT", Of: Worker, Default: "02:00", form: clock},
		{Name: "COBRO_ENDPOINTS", Of: Worker, form: path},
		{Name: "COBRO_RECEIVER_HOST", form: text},

		{Name: "COBRO_START_TIMEOUT", Of: Everything, Default: "30s", form: duration},
		{Name: "COBRO_STOP_TIMEOUT", Of: Everything, Default: "15s (api), 10s (worker)", form: duration},
		{Name: "COBRO_DRAIN", Of: API, Default: "5s", form: pause},
		{Name: "COBRO_WAIT", Of: API, Default: "10s", form: duration},
		{Name: "COBRO_MIN_EXPIRES_IN", Of: API, Default: "120s", form: duration},
		{Name: "COBRO_FORBID_SECOND_AUTHORIZE", Of: API, Default: "false", form: boolean},
		{Name: "COBRO_TIMING_DETAILS", Of: API, Default: "10s", form: duration},
		{Name: "COBRO_TIMING_CANCEL_MARGIN", Of: API, Default: "5s", form: duration},
		{Name: "COBRO_TIMING_GRACE", Of: API, Default: "15m", form: duration},
		{Name: "COBRO_TIMING_STALE", Of: API, Default: "30s", form: duration},
		{Name: "COBRO_TIMING_POLL_FIRST", Of: API, Default: "1s", form: duration},
		{Name: "COBRO_TIMING_POLL_MOST", Of: API, form: duration},
		{Name: "COBRO_TIMING_HEARTBEAT", Of: API, form: duration},
		{Name: "COBRO_TIMING_SETTLE", Of: API, Default: "2m", form: duration},
		{Name: "COBRO_TIMING_REVIEW", Of: API, Default: "1h", form: duration},
		{Name: "COBRO_LOG_FORMAT", Of: Everything, Default: "json", form: oneOf, words: []string{"text", "json"}},
		{Name: "COBRO_LOG_LEVEL", Of: Everything, Default: "info", form: oneOf, words: []string{"debug", "info", "warn", "error"}},

		{Name: "COBRO_API_URL", form: webAddress},
	}
}

// tools are variables of programs for developers, which no installation sets.
var tools = []string{
	"COBRO_DATA", "COBRO_ONLY", "COBRO_GATEWAY", "COBRO_GATEWAY_LISTEN", "COBRO_GATEWAY_CONTROL_LISTEN",
	"COBRO_TEMPORAL_LISTEN", "COBRO_TEMPORAL_UI_LISTEN", "COBRO_FAILPOINT", "COBRO_FAILPOINT_MARK", "COBRO_SCREENSHOT",
}

// Secret reports whether the setting must not be shown, and can be in a file.
func (s Setting) Secret() bool {
	return s.form == secret || s.form == urlSecret || s.form == database
}

// Value is a setting as it is, fit to be shown.
type Value struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // of a secret only whether it is set, and how long it is
	Source string `json:"source"` // "environment", "default", "not set", or the file's path
}

// Values returns every setting that programs read, or that is set. What a secret
// is cannot be told from them.
func Values(getenv func(string) string) []Value {
	resolved := Files(getenv)
	var values []Value
	for _, s := range All() {
		v := Value{Name: s.Name, Value: resolved(s.Name), Source: "environment"}
		switch {
		case v.Value == "" && s.Default == "":
			v.Source = "not set"
		case v.Value == "":
			v.Value, v.Source = s.Default, "default"
		case s.Secret() && getenv(s.Name) == "":
			v.Source = getenv(s.Name + fileSuffix)
		}
		switch {
		case v.Source == "default":
		case s.Secret():
			v.Value = s.shown(v.Value)
		case s.form == webAddress || s.form == origins:
			v.Value = WithoutCredentials(v.Value)
		}
		values = append(values, v)
	}
	return values
}

// shown says of a secret what helps to find a mistake and nothing else.
func (s Setting) shown(value string) string {
	if s.form == database {
		return withoutPassword(value)
	}
	switch n := len(value); {
	case n == 0:
		return "not set"
	case n < minSecret:
		return "set, under 16 characters"
	case n < 32:
		return "set, 16 to 31 characters"
	case n < 64:
		return "set, 32 to 63 characters"
	default:
		return "set, 64 characters or more"
	}
}

// WithoutCredentials keeps of web addresses, separated by commas, only their
// beginnings where they hold what they must not hold: a user, a question, or the
// secret of the webhooks.
func WithoutCredentials(addresses string) string {
	shown := strings.Split(addresses, ",")
	for i, address := range shown {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User == nil && strings.Contains(address, "@"):
			shown[i] = private.Mark
		case !isWebAddress(address) || strings.Contains(u.Path, webhooksPath):
			shown[i] = u.Scheme + "://" + u.Host + "/" + private.Mark
		}
	}
	return strings.Join(shown, ",")
}

// webhooksPath is where the address of the webhooks goes on with a secret.
const webhooksPath = "/webhooks/"

// harmless are the parameters of a PostgreSQL URL that are shown.
var harmless = []string{"sslmode", "pool_max_conns", "connect_timeout", "application_name", "target_session_attrs", "search_path"}

// withoutPassword keeps of a database's address what is surely no secret, and
// says of anything else only that it is there. An @ outside of its place is that
// of a password with a / ? or # in it, or of an address whose beginning is wrong.
func withoutPassword(dsn string) string {
	path := strings.TrimPrefix(dsn, "sqlite:")
	if path != dsn || filepath.IsAbs(dsn) {
		if strings.ContainsAny(path, "@=") || strings.Contains(path, "//") {
			return private.Mark
		}
		return dsn
	}
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		return private.Mark
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	query := url.Values{}
	for name, values := range u.Query() {
		if !slices.Contains(harmless, name) {
			values = []string{private.Mark}
		}
		query[name] = values
	}
	if strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return private.Mark
	}
	shown.RawQuery = query.Encode()
	return shown.String()
}
