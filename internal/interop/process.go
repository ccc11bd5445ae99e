// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// stopGrace is how long a server may take to end by itself after SIGTERM. Synapse needs about a second.
	stopGrace = 10 * time.Second
	// closing is what a test keeps of its own deadline to stop its servers in. When go test's own limit strikes, cleanups
	// do not run, and servers would outlive it.
	closing = 2*stopGrace + 5*time.Second
	// logTailLines is how much of a server's log a failed test prints.
	logTailLines = 60
	// logsVariable names the environment variable that says where servers' whole logs are kept. Unset, they go when the
	// test does.
	logsVariable = "STRATA_INTEROP_LOGS"
)

// process is a server that runs as a child, with its output in one file. The goroutine begun in start owns the
// waiting; all others only read the closed channel.
type process struct {
	begun   time.Time
	logFile string
	child   *os.Process
	ended   chan struct{} // closed once the child is gone
	result  error         // why it ended; read only after ended is closed
}

// bounded returns a context that ends after limit, or earlier if the test would otherwise run into go test's own limit.
func bounded(t *testing.T, limit time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := t.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-closing)
	}
	return context.WithTimeout(t.Context(), limit)
}

// service is a server that can be stopped, and started again on what it has kept. It belongs to the test.
type service struct {
	dir  string
	env  []string
	argv []string
	// ready waits until the server that was started answers.
	ready func(context.Context, *process) error
	now   *process
}

// start runs argv with nothing but env and the search path in its environment: no proxy settings, no credentials. The
// test's end stops it, and prints the end of its log if the test failed.
func (s *service) start(t *testing.T) {
	t.Helper()
	logFile := logPath(t, s.dir)
	output, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatalf("create log of %s: %v", s.argv[0], err)
	}
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}, s.env...)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", s.argv[0], err)
	}
	p := &process{begun: time.Now(), logFile: logFile, child: cmd.Process, ended: make(chan struct{})}
	go func() {
		p.result = cmd.Wait()
		output.Close()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("end of %s:\n%s", logFile, logTail(logFile, logTailLines))
		}
	})
	s.now = p
	ctx, cancel := bounded(t, readyTimeout)
	defer cancel()
	if err := s.ready(ctx, p); err != nil {
		t.Fatalf("start %s: %v", s.argv[0], err)
	}
}

// Stop ends the server in an orderly way.
func (s *service) Stop() { s.now.stop() }

// Kill ends the server at once.
func (s *service) Kill() {
	_ = s.now.child.Kill() // an error means that it has ended
	<-s.now.ended
}

// Restart starts the server again that was stopped or killed, and returns when it answers.
func (s *service) Restart(t *testing.T) {
	t.Helper()
	s.start(t)
}

// stop asks the child to end, and kills it if it does not. It may be called again.
func (p *process) stop() {
	// An error here means that it has ended already, which the wait below sees.
	_ = p.child.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopGrace):
		_ = p.child.Kill()
		<-p.ended
	}
}

// logPath says where the output of the server in dir goes.
func logPath(t *testing.T, dir string) string {
	kept := os.Getenv(logsVariable)
	if kept == "" {
		return filepath.Join(dir, "server.log")
	}
	return filepath.Join(kept, strings.ReplaceAll(t.Name(), "/", "-")+"-"+filepath.Base(dir)+".log")
}

// logTail returns the last n lines of a file, or a sentence saying why it cannot.
func logTail(file string, n int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Sprintf("(not readable: %v)", err)
	}
	lines := bytes.Split(bytes.TrimRight(content, "\n"), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}
