// Package testcluster runs Cobro as it runs in production, each part in a
// process of its own, so that tests can kill and stop them one by one: Temporal,
// the API, the worker, and the simulator of ATH Móvil. It also has a merchant
// who retries until the API answers, and the invariants that must hold whatever
// happens.
package testcluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// Part is one of the system's processes.
type Part string

// The parts, in the order in which they start.
const (
	Temporal  Part = "temporal"
	API       Part = "api"
	Simulator Part = "athmovil-sim"
	Worker    Part = "worker"

	// The second ones, of a cluster.
	API2    Part = "api-2"
	Worker2 Part = "worker-2"
)

// Parts lists those of a system without a cluster, in that order.
func Parts() []Part { return []Part{Temporal, API, Simulator, Worker} }

// kind is what a part is one of.
func (p Part) kind() Part {
	switch p {
	case API2:
		return API
	case Worker2:
		return Worker
	default:
		return p
	}
}

// Programs is the folder of the built programs.
type Programs struct{ folder string }

// Build compiles the programs, with failpoints. root is the folder of the root
// module.
func Build(ctx context.Context, root, folder string) (Programs, error) {
	for _, build := range []struct{ dir, out, pkg string }{
		{root, "athmovil-sim", "./cmd/athmovil-sim"},
		{filepath.Join(root, "dev"), "dev", "."},
	} {
		if err := compile(ctx, build.dir, filepath.Join(folder, build.out), build.pkg); err != nil {
			return Programs{}, err
		}
	}
	return BuildCobro(ctx, root, folder)
}

// BuildCobro compiles cobro alone, which is all that an earlier commit has to
// have.
func BuildCobro(ctx context.Context, root, folder string) (Programs, error) {
	return Programs{folder}, compile(ctx, root, filepath.Join(folder, "cobro"), "./cmd/cobro")
}

func compile(ctx context.Context, dir, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "failpoint", "-ldflags=-s", "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, said)
	}
	return nil
}

// Quick are the timings of production, scaled down.
func Quick() []string {
	return []string{
		"COBRO_TIMING_DETAILS=300ms", "COBRO_TIMING_POLL_FIRST=100ms", "COBRO_TIMING_POLL_MOST=300ms",
		"COBRO_CALL_TIMEOUT=1s", "COBRO_TIMING_SETTLE=2s", "COBRO_TIMING_CANCEL_MARGIN=300ms",
		"COBRO_TIMING_GRACE=10s", "COBRO_TIMING_REVIEW=1s", "COBRO_TIMING_STALE=20s",
	}
}

// WithPrograms builds the programs, runs the tests of a package of the module
// dev, and removes what it built. It returns the exit code. It builds nothing if
// COBRO_TEST_PROGRAMS names the folder of programs that make has built.
func WithPrograms(programs *Programs, tests func() int) int {
	if built := os.Getenv("COBRO_TEST_PROGRAMS"); built != "" {
		*programs = Programs{built}
		return tests()
	}
	folder, err := os.MkdirTemp("", "cobro-programs-")
	if err == nil {
		*programs, err = Build(context.Background(), filepath.Join("..", ".."), folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }() // leftovers of a test
	return tests()
}

// System is a running system. Its methods are safe for concurrent use, except
// that one part is started and ended by one goroutine at a time.
type System struct {
	folder   string
	order    []Part
	cluster  Cluster
	balancer *loadBalancer // nil without a cluster

	mu       sync.Mutex
	programs map[Part]Programs // guarded by mu
	env      map[Part][]string // beside what every part gets; guarded by mu
	parts    map[Part]*Process // guarded by mu
	apis     map[Part]string   // their URLs; guarded by mu
	ops      map[Part]string   // guarded by mu
	at       Addresses         // guarded by mu

	secrets struct{ apiKey, webhook string }
}

// Cluster says where a system with two APIs and two workers keeps its data.
type Cluster struct {
	// Store is the DSN of Cobro's database, which exists and is empty.
	Store string
	// TemporalStore is the DSN of a PostgreSQL database for Temporal, created
	// where it is missing. Empty means a file.
	TemporalStore string
	// Earlier is an earlier version, which the APIs and workers run at first.
	// Zero means the current one. See [BuildCobro].
	Earlier Programs
}

// PostgresSettings are for a PostgreSQL server that several clusters share: each
// has a Temporal and four processes of ours, with connection pools.
func PostgresSettings() map[string]string { return map[string]string{"max_connections": "400"} }

// Addresses are where the parts listen. They stay the same after a restart. API
// is the load balancer's in a cluster.
type Addresses struct {
	API, Ops, Gateway, Control, Temporal string
	Store, KeyFile, WebhookURL, APIKey   string
}

const (
	startTimeout = 60 * time.Second
	pollInterval = 20 * time.Millisecond
)

// Start starts every part on a fresh folder. env has more settings for a part.
func Start(ctx context.Context, programs Programs, folder string, env map[Part][]string) (*System, error) {
	return start(ctx, programs, folder, env, Parts(), Cluster{Store: "sqlite:" + filepath.Join(folder, "cobro.db")})
}

// StartCluster starts a system of two APIs behind a load balancer and two workers.
func StartCluster(ctx context.Context, programs Programs, folder string, env map[Part][]string, cluster Cluster) (*System, error) {
	return start(ctx, programs, folder, env, []Part{Temporal, API, API2, Simulator, Worker, Worker2}, cluster)
}

func start(ctx context.Context, programs Programs, folder string, env map[Part][]string, order []Part, cluster Cluster) (*System, error) {
	s := &System{
		folder: folder, order: order, cluster: cluster, parts: map[Part]*Process{}, programs: map[Part]Programs{},
		env: map[Part][]string{}, apis: map[Part]string{}, ops: map[Part]string{},
	}
	for _, part := range order {
		s.programs[part], s.env[part] = programs, env[part]
		if kind := part.kind(); cluster.Earlier != (Programs{}) && (kind == API || kind == Worker) {
			s.programs[part] = cluster.Earlier
		}
	}
	s.secrets.apiKey, s.secrets.webhook = "key-of-the-test-cluster-alone", "secret-of-the-test-webhook"
	s.at.APIKey = s.secrets.apiKey
	s.at.Store = cluster.Store
	s.at.KeyFile = filepath.Join(folder, "temporal", "keys.json")
	if slices.Contains(order, API2) {
		var err error
		if s.balancer, err = startLoadBalancer(ctx, s.backends); err != nil {
			return nil, err
		}
	}
	for _, part := range order {
		err := s.StartPart(ctx, part)
		if err == nil && part == Temporal {
			err = s.Migrate(ctx, s.programs[API])
		}
		if err != nil {
			s.KillAll()
			return nil, err
		}
	}
	return s, nil
}

// backends lists the addresses of the APIs, as host and port.
func (s *System) backends() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, url := range s.apis {
		all = append(all, strings.TrimPrefix(url, "http://"))
	}
	slices.Sort(all)
	return all
}

// Migrate brings the database to the schema of these programs.
func (s *System) Migrate(ctx context.Context, programs Programs) error {
	migrate := exec.CommandContext(ctx, filepath.Join(programs.folder, "cobro"), "migrate", "--store", s.Addresses().Store)
	if out, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w\n%s", err, out)
	}
	return nil
}

// Use replaces a part's programs, and the settings that it has beside those of
// every part, from its next start on.
func (s *System) Use(part Part, programs Programs, env ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.programs[part], s.env[part] = programs, env
}

// Addresses returns where the parts listen.
func (s *System) Addresses() Addresses {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// Folder holds the data and the logs.
func (s *System) Folder() string { return s.folder }

// StartPart starts a part and waits until it is ready. A part that was started
// before gets the same addresses again.
func (s *System) StartPart(ctx context.Context, part Part) error {
	if part == Temporal { // what an earlier process wrote would say that this one is ready
		if err := os.Remove(s.temporalAddresses()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	s.mu.Lock()
	cmd := s.command(part)
	cmd.Env = slices.Concat(os.Environ(), Quick(), cmd.Env, s.env[part])
	s.mu.Unlock()
	p, err := StartProcess(cmd, s.log(part))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.parts[part] = p
	s.mu.Unlock()
	return p.Await(ctx, func() (bool, error) { return s.started(part, p) })
}

// StartAll starts several parts at once.
func (s *System) StartAll(ctx context.Context, parts ...Part) error {
	var all errgroup.Group
	for _, part := range parts {
		all.Go(func() error { return s.StartPart(ctx, part) })
	}
	return all.Wait()
}

func (s *System) temporalAddresses() string {
	return filepath.Join(s.folder, "temporal", "addresses.json")
}

func (s *System) log(part Part) string { return filepath.Join(s.folder, string(part)+".log") }

// listen is the address of an earlier start, or port 0.
func listen(url string) string {
	if url == "" {
		return "127.0.0.1:0"
	}
	return url[len("http://"):]
}

// command is called with mu held.
func (s *System) command(part Part) *exec.Cmd {
	temporal := s.at.Temporal
	program := func(name string) string { return filepath.Join(s.programs[part].folder, name) }
	switch part.kind() {
	case Temporal:
		if temporal == "" {
			temporal = "127.0.0.1:0"
		}
		return exec.Command(program("dev"), "--only", "temporal", "--data", filepath.Join(s.folder, "temporal"),
			"--temporal-listen", temporal, "--temporal-ui-listen", "127.0.0.1:0", "--log-format", "json", "--temporal-store="+s.cluster.TemporalStore)
	case API:
		cmd := exec.Command(program("cobro"), "api", "--listen", listen(s.apis[part]), "--ops-listen", listen(s.ops[part]),
			"--store", s.at.Store, "--key-file", s.at.KeyFile, "--min-expires-in", "1s", "--wait", "5s")
		cmd.Env = []string{
			"TEMPORAL_ADDRESS=" + temporal, "COBRO_API_KEY=" + s.secrets.apiKey, "COBRO_WEBHOOK_SECRET=" + s.secrets.webhook,
			"COBRO_DRAIN=0s", // the load balancer asks for no readiness
		}
		return cmd
	case Simulator:
		return exec.Command(program("athmovil-sim"), "--listen", listen(s.at.Gateway), "--control-listen", listen(s.at.Control),
			"--webhook-url", s.at.WebhookURL, "--journal", filepath.Join(s.folder, "simulator.jsonl"), "--min-timeout", "1s",
			"--webhook-delay", "0s")
	case Worker:
		cmd := exec.Command(program("cobro"), "worker")
		cmd.Env = s.workerEnv()
		return cmd
	default:
		panic("no such part: " + part)
	}
}

// workerEnv has the settings of a worker and of an operator. It is called with
// mu held.
func (s *System) workerEnv() []string {
	return []string{
		"TEMPORAL_ADDRESS=" + s.at.Temporal, "COBRO_STORE=" + s.at.Store, "COBRO_KEY_FILE=" + s.at.KeyFile,
		"COBRO_GATEWAY_URL=" + s.at.Gateway, "COBRO_GATEWAY_REPORT_URL=" + s.at.Gateway,
		"COBRO_ATHM_PUBLIC_TOKEN=" + athmovilsim.DefaultPublicToken, "COBRO_STOP_TIMEOUT=5s",
		"COBRO_ATHM_PRIVATE_TOKEN=" + athmovilsim.DefaultPrivateToken,
	}
}

// Cobro runs an operator's command and returns what it prints.
func (s *System) Cobro(ctx context.Context, args ...string) (string, error) {
	s.mu.Lock()
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs[Worker].folder, "cobro"), args...)
	cmd.Env = append(os.Environ(), s.workerEnv()...)
	s.mu.Unlock()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("cobro %v: %w\n%s", args, err, stderr.Bytes())
	}
	return string(out), nil
}

// readyLine matches what each part logs when it is ready.
var readyLine = map[Part]*regexp.Regexp{
	API:       regexp.MustCompile(`"msg":"api started","api":"([^"]+)","ops":"([^"]+)"`),
	Simulator: regexp.MustCompile(`gateway  (\S+)\ncontrol  (\S+)`),
	Worker:    regexp.MustCompile(`"msg":"(worker) (started)"`),
}

// started reads where a part listens, once it is ready.
func (s *System) started(part Part, p *Process) (bool, error) {
	if part == Temporal {
		data, err := os.ReadFile(s.temporalAddresses())
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		var at struct{ Temporal string }
		if err == nil {
			err = json.Unmarshal(data, &at)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.at.Temporal = at.Temporal
		return err == nil, err
	}
	said := readyLine[part.kind()].FindStringSubmatch(p.Log())
	if said == nil {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch part.kind() {
	case API:
		s.apis[part], s.ops[part] = said[1], said[2]
		s.at.API, s.at.Ops = s.apis[API], s.ops[API]
		if s.balancer != nil {
			s.at.API = s.balancer.url
		}
		s.at.WebhookURL = s.at.API + "/webhooks/athmovil/" + s.secrets.webhook
	case Simulator:
		s.at.Gateway, s.at.Control = said[1], said[2]
	case Temporal, Worker, API2, Worker2:
	}
	return true, nil
}

func (s *System) process(part Part) *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[part]
}

// Kill sends SIGKILL to a part, if it was started.
func (s *System) Kill(part Part) {
	if p := s.process(part); p != nil {
		p.Kill()
	}
}

// Stop sends SIGTERM to a part. An exit code other than 0 is an error.
func (s *System) Stop(part Part) error { return s.process(part).Stop() }

// Ended is closed when the part's latest process has ended.
func (s *System) Ended(part Part) <-chan struct{} { return s.process(part).Ended() }

// HasEnded reports whether the part's latest process has ended.
func (s *System) HasEnded(part Part) bool { return s.process(part).HasEnded() }

// KillAll ends everything.
func (s *System) KillAll() {
	for _, part := range slices.Backward(s.order) {
		s.Kill(part)
	}
	if s.balancer != nil {
		s.balancer.close()
	}
}

// Supervise restarts a part whenever it dies, until ctx ends.
func (s *System) Supervise(ctx context.Context, part Part) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Ended(part):
			if err := s.StartPart(ctx, part); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
				return err
			}
		}
	}
}

// Problems returns the lines of the logs that tell of a panic or of a workflow
// that is not deterministic.
func (s *System) Problems() []string {
	var found []string
	for _, part := range s.order {
		if kind := part.kind(); kind != API && kind != Worker {
			continue
		}
		log, err := os.ReadFile(s.log(part))
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(bytes.NewReader(log))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if bytes.Contains(lines.Bytes(), []byte("panic")) || bytes.Contains(lines.Bytes(), []byte("nondetermin")) {
				found = append(found, string(part)+": "+lines.Text())
			}
		}
	}
	return found
}

var httpClient = &http.Client{Timeout: 15 * time.Second}
