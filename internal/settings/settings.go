// Package settings is the one table of the variables that Cobro's programs read.
// Each variable is there once, with its name, default, check, readers and one
// line of help. Programs get typed values from it ([Read]), cobro config check
// gets every mistake at once ([Check], [Values]), and flags get their defaults
// and help ([Vars]). A default that belongs to a library is a constant there.
//
// A secret NAME can be in a file instead, which NAME_FILE names ([Files]).
package settings

import (
	"cmp"
	"strings"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// Program is a program or a command that reads settings, or several of them.
type Program uint16

// The programs and the commands of cobro.
const (
	API Program = 1 << iota
	Worker
	Receivers  // a merchant's own program, which runs receivers
	DevProgram // dev, which also runs an API and a worker
	Deliveries // cobro receiver and cobro notification
	Reconcile
	Import
	Migrate
	Keys
	EndpointTest
	Review
	Subscribe // cobro webhook subscribe
	Healthcheck
	Doctor
	// Everything is an installation.
	Everything = API | Worker
	// Anyone is every program and command but dev.
	Anyone = 2*Doctor - 1 - DevProgram
)

const (
	// besideDev take what is not set from a running dev.
	besideDev = Worker | Receivers | Deliveries | Reconcile | Import
	// callers call ATH Móvil.
	callers = Worker | Reconcile | Subscribe | Doctor
	// connected connect to Temporal.
	connected = API | Worker | Receivers | Deliveries | Reconcile | Review | Doctor
)

// String names the programs and the commands.
func (p Program) String() string {
	if p&Anyone == Anyone {
		return "everything"
	}
	var names []string
	for i, name := range []string{
		"api", "worker", "your receivers", "dev", "receiver, notification", "reconcile", "import", "migrate", "keys", "endpoint test", "review",
		"webhook subscribe", "healthcheck", "doctor",
	} {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// kind is what a setting's text must look like.
type kind int

const (
	text kind = iota + 1
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
	family  // variables of others, whose form is theirs
)

// Setting is one variable.
type Setting struct {
	Name string
	// Default is as people would write it; empty means none. Where a worker or dev
	// has another one, it is theirs.
	Default string
	worker  string
	dev     string
	Of      Program // who reads it
	Needs   Program // who does not run without it
	Help    string  // one line
	kind    kind
	words   []string
	do      string // what to do where it is missing
	// field gets the value: a *string, *int, *bool, *time.Duration, *[]string or
	// *private.Token. Nil where a flag alone reads it.
	field any
	// sparse fields stay zero where the variable is not set: the library that
	// takes them knows the default.
	sparse bool
}

// Settings are the values of the variables.
type Settings struct {
	Store      string
	KeyFile    string
	MerchantID string

	APIKey        private.Token
	WebhookSecret private.Token
	PublicToken   string
	PrivateToken  private.Token

	Listen       string
	OpsListen    string
	CodecOrigins []string
	CodecToken   private.Token

	GatewayURL       string
	GatewayReportURL string
	CallTimeout      time.Duration
	CallsPerSecond   int
	ReconcileAt      string
	Endpoints        string
	ReceiverHost     string

	StartTimeout time.Duration
	StopTimeout  time.Duration
	Drain        time.Duration
	Wait         time.Duration
	MinExpiresIn time.Duration
	Timing       workflows.Timing
}

// All returns every setting, in the order in which people meet them.
func All() []Setting { return new(Settings).table() }

// openssl makes a secret.
const openssl = "such as what openssl rand -hex 24 prints"

func (s *Settings) table() []Setting {
	standard := workflows.DefaultTiming()
	timing := func(name string, usual time.Duration, field *time.Duration, help string) Setting {
		return Setting{Name: name, Of: API | DevProgram, Default: brief(usual), kind: duration, field: field, sparse: true, Help: help}
	}
	// Workers look at open tickets, with the pauses that an API gives its payments.
	polling := func(s Setting) Setting {
		s.Of |= Worker
		return s
	}
	return []Setting{
		{Name: "COBRO_STORE", Of: API | besideDev | Migrate | Review | Doctor, Needs: API | besideDev | Migrate, kind: database, field: &s.Store,
			Help: "Database: sqlite:/var/lib/cobro/cobro.db or postgres://user@host/database.",
			do:   "name the database, such as sqlite:/var/lib/cobro/cobro.db or postgres://user:password@host:5432/database"},
		{Name: "COBRO_KEY_FILE", Of: API | besideDev | Keys | Review | Doctor, Needs: API | besideDev | Keys, kind: path, field: &s.KeyFile,
			Help: "Key ring that encrypts histories and personal data.",
			do:   "name the key ring; cobro keys --out FILE makes one"},
		{Name: "COBRO_MERCHANT_ID", Of: API | Import | Doctor, Default: DefaultMerchantID, kind: text, field: &s.MerchantID,
			Help: "Part of every payment id; can never change."},
		{Name: "COBRO_API_KEY", Of: API | Review, Needs: API, kind: secret, field: &s.APIKey,
			Help: "Key that your shop sends to the API.",
			do:   "choose the key that your shop sends, " + openssl},
		{Name: "COBRO_WEBHOOK_SECRET", Of: API | Subscribe | Doctor, Needs: API | Subscribe, kind: urlSecret, field: &s.WebhookSecret,
			Help: "End of the address that ATH Móvil posts webhooks to.",
			do:   "choose the end of the address that ATH Móvil posts to, " + openssl + "; cobro webhook subscribe takes the one that cobro api has"},
		{Name: "COBRO_ATHM_PUBLIC_TOKEN", Of: callers | DevProgram, Needs: Worker | Subscribe, kind: text, field: &s.PublicToken,
			Help: "The business's public token, from the ATH Business app.",
			do:   "copy it from the ATH Business app: Settings, Development, API Keys"},
		{Name: "COBRO_ATHM_PRIVATE_TOKEN", Of: callers | DevProgram, Needs: Worker | Subscribe, kind: secret, field: &s.PrivateToken,
			Help: "The business's private token, from the ATH Business app.",
			do:   "copy it from the ATH Business app: Settings, Development, API Keys"},
		{Name: "COBRO_PUBLIC_URL", Of: Subscribe | Doctor, Needs: Subscribe, kind: webAddress,
			Help: "Address by which the internet reaches cobro api, such as https://pay.example.com; the path and the secret are added.",
			do:   "set it to the address by which the internet reaches cobro api"},

		{Name: "COBRO_LISTEN", Of: API | DevProgram, Default: DefaultListen, kind: listen, field: &s.Listen,
			Help: "Address of the API; port 0 takes a free one."},
		{Name: "COBRO_OPS_LISTEN", Of: API | Worker | Receivers | DevProgram | Healthcheck, Default: DefaultOpsListen, worker: none, kind: listen, field: &s.OpsListen,
			Help: "Address of health checks, metrics and the codec; never public."},
		{Name: "COBRO_CODEC_ORIGINS", Of: API, kind: origins, field: &s.CodecOrigins,
			Help: "Addresses of the Temporal UI that may decrypt payloads, separated by commas."},
		{Name: "COBRO_CODEC_TOKEN", Of: API, kind: secret, field: &s.CodecToken, Help: "Token that /codec/ asks for."},

		{Name: "COBRO_GATEWAY_URL", Of: callers, Default: athmovil.DefaultBaseURL, kind: webAddress, field: &s.GatewayURL, sparse: true,
			Help: "ATH Móvil's payments; set it for a simulator only."},
		{Name: "COBRO_GATEWAY_REPORT_URL", Of: callers, Default: athmovil.DefaultReportBaseURL, kind: webAddress, field: &s.GatewayReportURL, sparse: true,
			Help: "ATH Móvil's reports; set it for a simulator only."},
		{Name: "COBRO_CALL_TIMEOUT", Of: API | Worker | Reconcile | Review | DevProgram, Default: brief(athmovil.DefaultTimeout), kind: duration, field: &s.CallTimeout, sparse: true,
			Help: "How long one call to ATH Móvil may take; the same for api and worker."},
		{Name: "COBRO_CALLS_PER_SECOND", Of: Worker | Reconcile | DevProgram, Default: "no limit", kind: count, field: &s.CallsPerSecond, sparse: true,
			Help: "Most calls to ATH Móvil in a second, by one process."},
		{Name: "COBRO_RECONCILE_AT", Of: Worker | DevProgram, Default: DefaultReconcileAt, kind: clock, field: &s.ReconcileAt,
			Help: "When yesterday is compared with ATH Móvil's report, in Puerto Rico; off for never."},
		{Name: "COBRO_ENDPOINTS", Of: Worker | EndpointTest | DevProgram, Needs: EndpointTest, kind: path, field: &s.Endpoints,
			Help: "The endpoints file: URLs that receive events.",
			do:   "name the endpoints file"},
		{Name: "COBRO_RECEIVER_HOST", Of: Receivers, kind: text, field: &s.ReceiverHost,
			Help: "Names a program of yours among those that run receivers, such as shop."},

		{Name: "COBRO_START_TIMEOUT", Of: API | besideDev | Review | DevProgram, Default: brief(temporalclient.DefaultWait), kind: duration, field: &s.StartTimeout,
			Help: "How long to wait for the database, and then for Temporal."},
		{Name: "COBRO_STOP_TIMEOUT", Of: API | Worker | Receivers | DevProgram, Default: brief(DefaultAPIStopTimeout), worker: brief(DefaultWorkerStopTimeout), kind: duration, field: &s.StopTimeout,
			Help: "How long a stop may take, the drain included; what takes longer is cut."},
		{Name: "COBRO_DRAIN", Of: API, Default: brief(DefaultDrain), kind: pause, field: &s.Drain,
			Help: "How long requests are still taken during a stop, while /readyz says so; 0s where no load balancer looks at it."},
		{Name: "COBRO_WAIT", Of: API, Default: brief(DefaultWait), kind: duration, field: &s.Wait, Help: "How long a request waits for its outcome."},
		{Name: "COBRO_MIN_EXPIRES_IN", Of: API, Default: brief(payment.MinExpiresIn), kind: duration, field: &s.MinExpiresIn,
			Help: "Shortest life of a payment; less than ATH Móvil takes only against a simulator."},
		{Name: "COBRO_FORBID_SECOND_AUTHORIZE", Of: API | DevProgram, Default: "false", kind: boolean, field: &s.Timing.ForbidSecondAuthorize, sparse: true,
			Help: "Whether a charge that surely did not happen waits for a person instead of being tried again."},
		timing("COBRO_TIMING_DETAILS", standard.Details, &s.Timing.Details, "How long a completed payment waits for the webhook that says who paid."),
		timing("COBRO_TIMING_CANCEL_MARGIN", standard.CancelMargin, &s.Timing.CancelMargin, "How long before its deadline a ticket must be over to count as cancelled, not expired."),
		timing("COBRO_TIMING_GRACE", standard.Grace, &s.Timing.Grace, "How long after the deadline ATH Móvil may stay undecided before a person is asked."),
		timing("COBRO_TIMING_STALE", standard.Stale, &s.Timing.Stale, "How late after the request a payment may begin."),
		polling(timing("COBRO_TIMING_POLL_FIRST", standard.PollFirst, &s.Timing.PollFirst, "Pause between the first looks at a ticket; the same for api and worker.")),
		polling(timing("COBRO_TIMING_POLL_MOST", standard.PollMost, &s.Timing.PollMost, "Longest pause between looks at a ticket; the same for api and worker.")),
		timing("COBRO_TIMING_SETTLE", standard.Settle, &s.Timing.Settle, "How long a refund with an unknown outcome is watched before a person is asked."),
		timing("COBRO_TIMING_REVIEW", standard.Review, &s.Timing.Review, "Pause between looks while a person is asked."),
		{Name: "COBRO_LOG_FORMAT", Of: Anyone | DevProgram, Default: "json", dev: "text", kind: oneOf, words: []string{"text", "json"},
			Help: "Log lines for people (text) or machines (json)."},
		{Name: "COBRO_LOG_LEVEL", Of: Anyone | DevProgram, Default: "info", kind: oneOf, words: []string{"debug", "info", "warn", "error"},
			Help: "The lowest level that is logged."},

		{Name: "COBRO_API_URL", Of: Review, Default: "http://" + DefaultListen, kind: webAddress, Help: "Address of cobro api."},
		{Name: "COBRO_DATA", Of: besideDev | Review | Subscribe | Doctor | DevProgram, Default: ".cobro", kind: path,
			Help: "Data folder of a running dev, which gives what is not set here."},
		{Name: "TEMPORAL_…", Of: connected, kind: family,
			Help: "Where Temporal is, as every Temporal tool reads it: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…, or a profile."},
		{Name: "OTEL_…", Of: API | Worker | Receivers | DevProgram, kind: family,
			Help: "Where traces go, as OpenTelemetry names it; see docs/telemetry.md."},

		{Name: "COBRO_TEMPORAL_LISTEN", Of: DevProgram, Default: "127.0.0.1:7233", kind: listen, Help: "Address of Temporal's frontend."},
		{Name: "COBRO_TEMPORAL_UI_LISTEN", Of: DevProgram, Default: "127.0.0.1:8233", kind: listen, Help: "Address of the Temporal UI."},
		{Name: "COBRO_TEMPORAL_STORE", Of: DevProgram, kind: database,
			Help: "PostgreSQL database for Temporal instead of a file, such as postgres://user@host:5432/temporal; only with --only temporal."},
		{Name: "COBRO_GATEWAY", Of: DevProgram, Default: "sim", kind: text,
			Help: "sim, live (real money), or the http:// address of a simulator elsewhere."},
		{Name: "COBRO_GATEWAY_LISTEN", Of: DevProgram, Default: "127.0.0.1:8090", kind: listen, Help: "Address of the simulated ATH Móvil."},
		{Name: "COBRO_GATEWAY_CONTROL_LISTEN", Of: DevProgram, Default: "127.0.0.1:8091", kind: listen,
			Help: "Address of the simulator's control surface and the customer's phone."},
		{Name: "COBRO_GATEWAY_WEBHOOK_DELAY", Of: DevProgram, Default: "2.5s", kind: pause,
			Help: "How long the simulator's events take, as they do from ATH Móvil; 0s for tests."},
		{Name: "COBRO_ONLY", Of: DevProgram, kind: text, Help: "Start this part alone: temporal."},
	}
}

// tools are variables of tests and their tools, which no program is given.
var tools = []string{"COBRO_FAILPOINT", "COBRO_FAILPOINT_MARK"}

// Secret reports whether the setting must not be shown, and can be in a file.
func (s Setting) Secret() bool {
	return s.kind == secret || s.kind == urlSecret || s.kind == database
}

// DefaultFor returns a program's default, as people would write it.
func (s Setting) DefaultFor(of Program) string {
	switch {
	case of == DevProgram:
		return cmp.Or(s.dev, s.Default)
	case of&^(Worker|Receivers|Deliveries|Reconcile) == 0:
		return cmp.Or(s.worker, s.Default)
	default:
		return s.Default
	}
}

// Defaults shows the defaults of an installation.
func (s Setting) Defaults() string {
	if s.worker == "" {
		return s.Default
	}
	return s.Default + " (api), " + s.worker + " (worker)"
}

// Variables returns the settings that a program or a command reads.
func Variables(of Program) []Setting {
	var read []Setting
	for _, s := range All() {
		if s.Of&of != 0 {
			read = append(read, s)
		}
	}
	return read
}

// Vars are the defaults and the help of a program's flags, which a tag refers to
// as ${COBRO_WAIT_default} and ${COBRO_WAIT_help}; ${COBRO_LOG_LEVEL_words} are
// the words to choose from.
func Vars(of Program) map[string]string {
	vars := map[string]string{}
	for _, s := range All() {
		vars[s.Name+"_default"] = s.DefaultFor(of)
		vars[s.Name+"_help"] = s.Help
		vars[s.Name+"_words"] = strings.Join(s.words, ",")
	}
	return vars
}

// brief writes a duration as people do: 15m, and not 15m0s.
func brief(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
