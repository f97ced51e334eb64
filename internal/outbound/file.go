package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cobropay/cobro/internal/catalog"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

const (
	// DefaultTimeout limits one attempt if the endpoint sets no timeout.
	DefaultTimeout = 15 * time.Second
	// MaxTimeout is the longest timeout that an endpoint may set.
	MaxTimeout = 60 * time.Second
	// maxFile limits the size of the file in bytes.
	maxFile = 1 << 20
)

// Endpoint is a URL that receives events. [Load] makes valid ones.
type Endpoint struct {
	Name    string          // 1 to 40 of a-z, 0-9 and hyphens
	URL     private.Token   // its path may be a secret
	Events  []payment.Event // the events it receives; never empty
	Secrets []private.Token // "whsec_…", one or more; each one signs
	Timeout time.Duration   // for one attempt
	Retry   payment.Retry   // zero fields mean the defaults

	// AllowPrivate permits a private address.
	AllowPrivate bool
}

// LogValue implements [slog.LogValuer] without anything private.
func (e Endpoint) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", e.Name), slog.Any("events", e.Events))
}

// Load reads an endpoints file and the secrets that it names. It reports all
// problems together.
func Load(path string, getenv func(string) string) ([]Endpoint, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: COBRO_ENDPOINTS must name the endpoints file", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	r := reader{path: path, getenv: getenv}
	endpoints := r.read(text)
	return endpoints, errors.Join(r.problems...)
}

// File is an endpoints file that can be reloaded while in use. It is safe for
// concurrent use.
type File struct {
	path    string
	getenv  func(string) string
	logger  *slog.Logger
	current atomic.Pointer[[]Endpoint]
}

// Open loads the file for the first time. An invalid file is an error.
func Open(path string, getenv func(string) string, logger *slog.Logger) (*File, error) {
	endpoints, err := Load(path, getenv)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, getenv: getenv, logger: logger}
	f.current.Store(&endpoints)
	return f, nil
}

// Endpoints returns the endpoints of the last valid version. Do not modify them.
func (f *File) Endpoints() []Endpoint { return *f.current.Load() }

// Find returns the endpoint with this name.
func (f *File) Find(name string) (Endpoint, bool) {
	for _, e := range f.Endpoints() {
		if e.Name == name {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Watch reloads the file at each tick until ctx ends. After a change it calls
// announce, and again at each later tick until announce succeeds. An invalid file
// changes nothing, and each problem is logged once.
//
// Watch reads the whole file instead of comparing its modification time, because
// secrets can be in files of their own, and because a mounted volume may show a
// new file with an old time.
func (f *File) Watch(ctx context.Context, ticks <-chan time.Time, announce func(context.Context, []Endpoint) error) {
	problem, announced := "", true
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		endpoints, err := Load(f.path, f.getenv)
		if err != nil {
			if err.Error() != problem {
				f.logger.ErrorContext(ctx, "invalid endpoints file; keeping the previous endpoints", "error", err)
			}
			problem = err.Error()
			endpoints = f.Endpoints()
		} else {
			problem = ""
		}
		if !reflect.DeepEqual(endpoints, f.Endpoints()) {
			f.logger.InfoContext(ctx, "endpoints file changed", "endpoints", names(endpoints))
			f.current.Store(&endpoints)
			announced = false
		}
		if announced {
			continue
		}
		if err := announce(ctx, endpoints); err != nil {
			f.logger.WarnContext(ctx, "cannot announce endpoints; trying again soon", "error", err)
			continue
		}
		announced = true
	}
}

func names(endpoints []Endpoint) []string {
	list := make([]string, len(endpoints))
	for i, e := range endpoints {
		list[i] = e.Name
	}
	return list
}

// reader walks the YAML nodes instead of decoding them into a struct, because the
// decoder's errors quote values, and a value may be a secret.
type reader struct {
	path     string
	getenv   func(string) string
	private  bool
	problems []error
}

// problem records what is wrong at a node and how to fix it. The text must not
// quote a value that may be a secret.
func (r *reader) problem(at *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s:%d: %s", r.path, at.Line, fmt.Sprintf(format, args...)))
}

func (r *reader) read(text []byte) []Endpoint {
	if len(text) > maxFile {
		r.problems = append(r.problems, fmt.Errorf("%s: larger than %d bytes", r.path, maxFile))
		return nil
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && document.Content[0].Tag == "!!null" {
		err = errors.New(`empty: write "endpoints: []" if you want none`) // an empty file may be half written
	} else if err == nil && !errors.Is(decoder.Decode(new(yaml.Node)), io.EOF) {
		err = errors.New(`more than one document: remove the line "---" and everything after it`)
	}
	if err != nil {
		r.problems = append(r.problems, fmt.Errorf("%s: %w", r.path, err))
		return nil
	}
	var list *yaml.Node
	r.fields(document.Content[0], "the file", []field{
		{"allow_private_addresses", func(n *yaml.Node) {
			if n.Decode(&r.private) != nil {
				r.problem(n, "allow_private_addresses must be true or false")
			}
		}},
		{"endpoints", func(n *yaml.Node) { list = n }},
	})
	if list == nil {
		return nil
	}
	var endpoints []Endpoint
	for _, n := range r.items(list, "endpoints") {
		e := r.endpoint(n)
		if e.Name != "" && slices.Contains(names(endpoints), e.Name) {
			r.problem(n, "there are two endpoints %q: rename one", e.Name)
		}
		endpoints = append(endpoints, e)
	}
	return endpoints
}

// maxName leaves room for the prefix "webhook-" in the receiver's name.
const maxName = 40

func (r *reader) endpoint(n *yaml.Node) Endpoint {
	e := Endpoint{Timeout: DefaultTimeout, AllowPrivate: r.private}
	var events, secrets *yaml.Node
	r.fields(n, "an endpoint", []field{
		{"name", func(n *yaml.Node) {
			if e.Name = n.Value; len(e.Name) > maxName || !ledger.IsReceiverName(e.Name) {
				r.problem(n, `a name is 1 to 40 of a-z, 0-9 and hyphens, such as "shop"`)
				e.Name = ""
			}
		}},
		{"url", func(n *yaml.Node) {
			e.URL = private.NewToken(n.Value)
			if err := checkURL(n.Value, r.private); err != nil {
				r.problem(n, "url: %v", err)
			}
		}},
		{"events", func(n *yaml.Node) { events = n }},
		{"secrets", func(n *yaml.Node) { secrets = n }},
		{"retry", func(n *yaml.Node) {
			r.fields(n, "retry", []field{
				{"first", r.delay(&e.Retry.First)}, {"most", r.delay(&e.Retry.Most)}, {"for", r.delay(&e.Retry.For)},
			})
			if broken := e.Retry.Broken(); broken != nil {
				r.problem(n, "retry: %s", catalog.English(*broken))
			}
		}},
		{"timeout", func(n *yaml.Node) {
			var err error
			if e.Timeout, err = time.ParseDuration(n.Value); err != nil || e.Timeout <= 0 || e.Timeout > MaxTimeout {
				r.problem(n, `timeout must be more than 0 and at most %s, such as "%s"`, MaxTimeout, DefaultTimeout)
			}
		}},
	})
	for _, missing := range []struct {
		is   bool
		text string
	}{
		{n.Kind == yaml.MappingNode && !has(n, "name"), `an endpoint needs a name, such as "shop"`},
		{n.Kind == yaml.MappingNode && !has(n, "url"), "an endpoint needs a url"},
		{n.Kind == yaml.MappingNode && (secrets == nil || len(secrets.Content) == 0 && secrets.Kind != yaml.ScalarNode),
			`an endpoint needs at least one secret: "cobro endpoint secret" makes one`},
	} {
		if missing.is {
			r.problem(n, "%s", missing.text)
		}
	}
	if e.Events = r.events(events); len(e.Events) == 0 {
		e.Events = payment.Events()
	}
	for _, n := range r.items(secrets, "secrets") {
		secret, err := r.secret(n.Value)
		if err != nil {
			r.problem(n, "a secret: %v", err)
		}
		e.Secrets = append(e.Secrets, secret)
	}
	return e
}

// delay reads a duration of a retry policy.
func (r *reader) delay(into *time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d, err := time.ParseDuration(n.Value)
		if err != nil || d <= 0 {
			r.problem(n, `a retry delay must be a duration above zero, such as "30s"`)
			return
		}
		*into = d
	}
}

func (r *reader) events(n *yaml.Node) []payment.Event {
	var events []payment.Event
	for _, item := range r.items(n, "events") {
		event := payment.Event(item.Value)
		switch {
		case !payment.IsEvent(event):
			r.problem(item, "no such event; the events are %s", payment.EventNames())
		case !slices.Contains(events, event):
			events = append(events, event)
		}
	}
	return events
}

// secret reads a secret from the file itself, a variable or another file.
func (r *reader) secret(text string) (private.Token, error) {
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		if text = r.getenv(name); text == "" {
			return private.Token{}, fmt.Errorf("the variable %s is not set", name)
		}
	} else if path, ok := strings.CutPrefix(text, "file:"); ok {
		read, err := private.ReadFile(path)
		if err != nil {
			return private.Token{}, err
		}
		text = read.Reveal()
	}
	return parseSecret(text)
}

// field is a key of a mapping and the function that reads its value.
type field struct {
	name string
	read func(*yaml.Node)
}

// fields reads a mapping. It reports keys that are unknown or duplicate, and
// values that are missing or of the wrong kind.
func (r *reader) fields(n *yaml.Node, what string, known []field) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, "%s must be a mapping, with the fields %s", what, fieldNames(known))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		at := slices.IndexFunc(known, func(f field) bool { return f.name == key.Value })
		switch {
		case at < 0:
			r.problem(key, "%s has no field %q; the fields are %s", what, key.Value, fieldNames(known))
		case seen[key.Value]:
			r.problem(key, "%s is there twice: remove one", key.Value)
		case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
			r.problem(key, "%s is empty: give it a value or remove it", key.Value)
		default:
			known[at].read(value)
		}
		seen[key.Value] = true
	}
}

func fieldNames(known []field) string {
	list := make([]string, len(known))
	for i, f := range known {
		list[i] = f.name
	}
	return strings.Join(list, ", ")
}

// items returns the items of a list. A nil node has none.
func (r *reader) items(n *yaml.Node, what string) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.problem(n, "%s must be a list", what)
		return nil
	}
	items := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		items[i] = resolve(item)
	}
	return items
}

// resolve follows a YAML alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func has(mapping *yaml.Node, name string) bool {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return true
		}
	}
	return false
}

// checkURL reports what is wrong with a URL as far as that shows without sending.
// Its errors do not quote the URL.
func checkURL(text string, allowPrivate bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return errors.New("must be an absolute URL, such as https://shop.example.com/cobro")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must begin with https://")
	case u.Scheme == "http" && !allowPrivate:
		return errors.New("must begin with https://; http is only for development, with " + allowSetting)
	case u.User != nil:
		return errors.New("must not contain a username or password: the signature authenticates the sender")
	case u.Fragment != "":
		return errors.New(`must not have a fragment: remove "#" and everything after it`)
	}
	return checkHost(u.Hostname(), allowPrivate)
}
