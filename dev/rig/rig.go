// Package rig runs Cobro as it runs in production, each part in a process of
// its own, so that tests can kill and stop them one by one: Temporal, the API,
// the worker, and the simulator of ATH Móvil. It also has the merchant who
// asks again until he is answered, and the invariants that hold whatever
// happens.
package rig

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
	"syscall"
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
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "failpoint", "-o", out, pkg)
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
		"COBRO_TIMING_HEARTBEAT=1s", "COBRO_CALL_TIMEOUT=1s", "COBRO_TIMING_SETTLE=2s", "COBRO_TIMING_CANCEL_MARGIN=300ms",
		"COBRO_TIMING_GRACE=10s", "COBRO_TIMING_REVIEW=1s", "COBRO_TIMING_STALE=20s",
	}
}

// WithPrograms builds the programs, runs a test binary's tests, and removes what
// it built. It returns the exit code.
func WithPrograms(root string, programs *Programs, tests func() int) int {
	folder, err := os.MkdirTemp("", "cobro-programs-")
	if err == nil {
		*programs, err = Build(context.Background(), root, folder)
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
	folder  string
	order   []Part
	cluster Cluster
	door    *door // nil without a cluster

	mu       sync.Mutex
	programs map[Part]Programs // guarded by mu
	env      map[Part][]string // beside what every part gets; guarded by mu
	parts    map[Part]*process // guarded by mu
	apis     map[Part]string   // their URLs; guarded by mu
	ops      map[Part]string   // guarded by mu
	at       Addresses         // guarded by mu

	secrets struct{ apiKey, webhook string }
}

// Cluster is what a system with two APIs and two workers keeps its data in.
type Cluster struct {
	// Store is the DSN of Cobro's database, which is there and empty.
	Store string
	// TemporalStore is the DSN of a PostgreSQL database for Temporal, made where
	// it is missing. Empty means a file.
	TemporalStore string
	// Earlier are what the APIs and workers run at first, instead of the
	// programs of today; zero for those of today. See [BuildCobro].
	Earlier Programs
}

// PostgresSettings are what a PostgreSQL server needs that several clusters
// share: each has a Temporal and four processes of ours, with pools.
func PostgresSettings() map[string]string { return map[string]string{"max_connections": "400"} }

// Addresses are where the parts are. They stay the same over restarts. API is
// that of the door before a cluster's.
type Addresses struct {
	API, Ops, Gateway, Control, Temporal string
	Store, KeyFile, WebhookURL, APIKey   string
}

type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
}

const (
	patience = 60 * time.Second
	glance   = 20 * time.Millisecond
)

// Start starts every part on a fresh folder. env has more settings for a part.
func Start(ctx context.Context, programs Programs, folder string, env map[Part][]string) (*System, error) {
	return start(ctx, programs, folder, env, Parts(), Cluster{Store: "sqlite:" + filepath.Join(folder, "cobro.db")})
}

// StartCluster starts a system of two APIs, behind a door, and two workers.
func StartCluster(ctx context.Context, programs Programs, folder string, env map[Part][]string, cluster Cluster) (*System, error) {
	return start(ctx, programs, folder, env, []Part{Temporal, API, API2, Simulator, Worker, Worker2}, cluster)
}

func start(ctx context.Context, programs Programs, folder string, env map[Part][]string, order []Part, cluster Cluster) (*System, error) {
	s := &System{
		folder: folder, order: order, cluster: cluster, parts: map[Part]*process{}, programs: map[Part]Programs{},
		env: map[Part][]string{}, apis: map[Part]string{}, ops: map[Part]string{},
	}
	for _, part := range order {
		s.programs[part], s.env[part] = programs, env[part]
		if kind := part.kind(); cluster.Earlier != (Programs{}) && (kind == API || kind == Worker) {
			s.programs[part] = cluster.Earlier
		}
	}
	s.secrets.apiKey, s.secrets.webhook = "key-of-the-rig-and-nobody-else", "secret-of-the-rig-webhook"
	s.at.APIKey = s.secrets.apiKey
	s.at.Store = cluster.Store
	s.at.KeyFile = filepath.Join(folder, "temporal", "keys.json")
	if slices.Contains(order, API2) {
		var err error
		if s.door, err = openDoor(ctx, s.behind); err != nil {
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

// behind lists the APIs.
func (s *System) behind() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at []string
	for _, url := range s.apis {
		at = append(at, strings.TrimPrefix(url, "http://"))
	}
	slices.Sort(at)
	return at
}

// Migrate brings the database to the schema of these programs.
func (s *System) Migrate(ctx context.Context, programs Programs) error {
	migrate := exec.CommandContext(ctx, filepath.Join(programs.folder, "cobro"), "migrate", "--store", s.At().Store)
	if out, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w\n%s", err, out)
	}
	return nil
}

// Use has a part run other programs, and other settings beside those that every
// part gets, from its next start on.
func (s *System) Use(part Part, programs Programs, env ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.programs[part], s.env[part] = programs, env
}

// At returns where the parts are.
func (s *System) At() Addresses {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// Folder is where everything is kept.
func (s *System) Folder() string { return s.folder }

// StartPart starts a part and waits until it works. A part that was started
// before gets its addresses again.
func (s *System) StartPart(ctx context.Context, part Part) error {
	log, err := os.OpenFile(s.log(part), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	from, err := log.Seek(0, 2)
	if err != nil {
		return err
	}
	if part == Temporal { // what an earlier process wrote would say that this one works
		if err := os.Remove(s.temporalAddresses()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	s.mu.Lock()
	cmd := s.command(part)
	cmd.Env = slices.Concat(os.Environ(), Quick(), cmd.Env, s.env[part])
	s.mu.Unlock()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() { // ends with the process
		_ = cmd.Wait() // how it ended is its log's
		close(p.ended)
	}()
	s.mu.Lock()
	s.parts[part] = p
	s.mu.Unlock()
	return s.awaitStart(ctx, part, p, from)
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

// listen is an address that was read back, or port 0.
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
			"COBRO_DRAIN=0s", // the door asks nobody whether he is ready
		}
		return cmd
	case Simulator:
		return exec.Command(program("athmovil-sim"), "--listen", listen(s.at.Gateway), "--control-listen", listen(s.at.Control),
			"--webhook-url", s.at.WebhookURL, "--journal", filepath.Join(s.folder, "simulator.jsonl"), "--min-timeout", "1s")
	case Worker:
		cmd := exec.Command(program("cobro"), "worker")
		cmd.Env = s.workerEnv()
		return cmd
	default:
		panic("no such part: " + part)
	}
}

// workerEnv is what a worker needs to know, and an operator. It is called with
// mu held.
func (s *System) workerEnv() []string {
	return []string{
		"TEMPORAL_ADDRESS=" + s.at.Temporal, "COBRO_STORE=" + s.at.Store, "COBRO_KEY_FILE=" + s.at.KeyFile,
		"COBRO_GATEWAY_URL=" + s.at.Gateway, "COBRO_GATEWAY_REPORT_URL=" + s.at.Gateway,
		"COBRO_ATHM_PUBLIC_TOKEN=" + athmovilsim.DefaultPublicToken, "COBRO_STOP_TIMEOUT=5s",
		"COBRO_ATHM_PRIVATE_TOKEN=" + athmovilsim.DefaultPrivateToken,
	}
}

// Cobro runs one of an operator's commands and returns what it prints.
func (s *System) Cobro(ctx context.Context, args ...string) (string, error) {
	s.mu.Lock()
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs[Worker].folder, "cobro"), args...)
	cmd.Env = append(os.Environ(), s.workerEnv()...)
	s.mu.Unlock()
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("cobro %v: %w\n%s", args, err, complaint.Bytes())
	}
	return string(out), nil
}

// What the parts say when they work.
var started = map[Part]*regexp.Regexp{
	API:       regexp.MustCompile(`"msg":"api started","api":"([^"]+)","ops":"([^"]+)"`),
	Simulator: regexp.MustCompile(`gateway  (\S+)\ncontrol  (\S+)`),
	Worker:    regexp.MustCompile(`"msg":"(worker) (started)"`),
}

func (s *System) awaitStart(ctx context.Context, part Part, p *process, from int64) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for deadline := time.After(patience); ; {
		if found, err := s.started(part, from); err != nil || found {
			return err
		}
		select {
		case <-ticker.C:
		case <-p.ended:
			log, _ := os.ReadFile(s.log(part))
			return fmt.Errorf("%s ended while starting:\n%s", part, log[min(int(from), len(log)):])
		case <-deadline:
			return fmt.Errorf("%s did not start", part)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// started reads back where a part is, once it works.
func (s *System) started(part Part, from int64) (bool, error) {
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
	log, err := os.ReadFile(s.log(part))
	if err != nil {
		return false, err
	}
	said := started[part.kind()].FindSubmatch(log[from:])
	if said == nil {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch part.kind() {
	case API:
		s.apis[part], s.ops[part] = string(said[1]), string(said[2])
		s.at.API, s.at.Ops = s.apis[API], s.ops[API]
		if s.door != nil {
			s.at.API = s.door.url
		}
		s.at.WebhookURL = s.at.API + "/webhooks/athmovil/" + s.secrets.webhook
	case Simulator:
		s.at.Gateway, s.at.Control = string(said[1]), string(said[2])
	case Temporal, Worker, API2, Worker2:
	}
	return true, nil
}

func (s *System) process(part Part) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[part]
}

// Kill is SIGKILL: nothing gets to say goodbye.
func (s *System) Kill(part Part) {
	if p := s.process(part); p != nil {
		_ = p.cmd.Process.Kill() // it may have ended already
		<-p.ended
	}
}

// Stop is SIGTERM. It returns an error where the part ends with another code
// than 0.
func (s *System) Stop(part Part) error {
	p := s.process(part)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with code %d", part, code)
	}
	return nil
}

// Ended is closed when the part's latest process has ended.
func (s *System) Ended(part Part) <-chan struct{} { return s.process(part).ended }

// KillAll ends everything.
func (s *System) KillAll() {
	for _, part := range slices.Backward(s.order) {
		s.Kill(part)
	}
	if s.door != nil {
		s.door.shut()
	}
}

// Nurse starts a part again whenever it dies, until ctx ends.
func (s *System) Nurse(ctx context.Context, part Part) error {
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

// Problems returns the lines of the logs that say ERROR or panic, beside those
// that a crash explains.
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

var web = &http.Client{Timeout: 15 * time.Second}
