package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"syscall"
)

// Process is a running program whose output goes to a file.
type Process struct {
	cmd   *exec.Cmd
	log   string        // the file
	from  int64         // where this process began to write to it
	ended chan struct{} // closed when it has
}

// StartProcess starts a program and appends what it prints to a file. A command
// that has a standard output of its own keeps it.
func StartProcess(cmd *exec.Cmd, logFile string) (*Process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	if cmd.Stderr = log; cmd.Stdout == nil {
		cmd.Stdout = log
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, log: logFile, from: info.Size(), ended: make(chan struct{})}
	go func() { // ends with the process
		_ = cmd.Wait() // Stop reads the exit code
		close(p.ended)
	}()
	return p, nil
}

// Log returns what this process has printed so far.
func (p *Process) Log() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[min(int(p.from), len(data)):])
}

// AwaitLog waits until the log matches, and returns the match and its groups.
func (p *Process) AwaitLog(ctx context.Context, pattern *regexp.Regexp) (match []string, err error) {
	err = p.Await(ctx, func() (bool, error) {
		match = pattern.FindStringSubmatch(p.Log())
		return match != nil, nil
	})
	return match, err
}

// Await waits until done returns true. A process that ends before that is an
// error.
func (p *Process) Await(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := Poll(ctx, pollInterval, func() (bool, error) {
		ended := p.HasEnded() // asked first: its last lines count
		ok, err := done()
		if err == nil && !ok && ended {
			err = errors.New("it has ended")
		}
		return ok, err
	})
	if err != nil {
		return fmt.Errorf("%s: %w:\n%s", p.cmd.Path, err, p.Log())
	}
	return nil
}

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.ended
}

// Stop sends SIGTERM and waits for the end. An exit code other than 0 is an
// error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with code %d", p.cmd.Path, code)
	}
	return nil
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// HasEnded reports whether the process has ended.
func (p *Process) HasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}
