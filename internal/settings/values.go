package settings

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cobropay/cobro/private"
)

// Value is a setting as it is, fit to be shown.
type Value struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // of a secret only whether it is set, and how long it is
	Source string `json:"source"` // "environment", "default", "not set", or the file's path
}

// Values returns every setting of an installation. What a secret is cannot be
// told from them.
func Values(getenv func(string) string) []Value {
	resolved := Files(getenv)
	var values []Value
	for _, s := range All() {
		if s.Of&Anyone == 0 || s.kind == family {
			continue
		}
		v := Value{Name: s.Name, Value: resolved(s.Name), Source: "environment"}
		switch {
		case v.Value == "" && s.Default == "":
			v.Source = "not set"
		case v.Value == "":
			v.Value, v.Source = s.Defaults(), "default"
		case s.Secret():
			v.Value = s.shown(v.Value)
			if getenv(s.Name) == "" {
				v.Source = getenv(s.Name + fileSuffix)
			}
		case s.kind == webAddress || s.kind == origins:
			v.Value = WithoutCredentials(v.Value)
		}
		values = append(values, v)
	}
	return values
}

// shown says of a secret what helps to find a mistake and nothing else.
func (s Setting) shown(value string) string {
	if s.kind == database {
		return withoutPassword(value)
	}
	switch n := len(value); {
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
