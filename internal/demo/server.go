// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

const (
	logFile   = "server.log"
	startTime = 15 * time.Second // for a server to say that it is there
	stopTime  = 5 * time.Second  // for a server to end by itself
	maxLine   = 64 << 20         // bytes of one report
)

// errBroken is why work is given up that another server's failure made pointless.
var errBroken = errors.New("broken off")

// server is the demo's handle on one server: its place and, while it runs, its process. It belongs to the goroutine of the demo;
// ask may be called by one other goroutine at a time.
type server struct {
	number int // 1 for the first
	setup  setup
	child  func() *exec.Cmd
	news   *ledger
	broken context.CancelCauseFunc // told when the process ends without having been told to

	*process
}

// process is one life of a server. The goroutine begun in start reads its output and waits for its end.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	replies chan report
	told    atomic.Bool   // to end
	ended   chan struct{} // closed when it has
}

// start runs the server's process and returns when it is ready.
func (s *server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("not ready after %s", startTime))
	defer cancel()
	log, err := os.OpenFile(filepath.Join(s.setup.Dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	p := &process{cmd: s.child(), replies: make(chan report, 1), ended: make(chan struct{})}
	p.cmd.Stderr = log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	s.process = p
	go func() {
		s.read(p, out)
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
		if !p.told.Load() {
			s.broken(fmt.Errorf("%w: server %d: %w", errBroken, s.number, p.gone()))
		}
	}()
	_, err = s.tell(ctx, s.setup)
	return err
}

// read hands on what the process says until it says no more.
func (s *server) read(p *process, out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			s.broken(fmt.Errorf("%w: server %d said %.200q: %w", errBroken, s.number, lines.Text(), err))
			return
		}
		if !r.Reply {
			s.news.note(s.number, r)
			continue
		}
		select {
		case p.replies <- r:
		default: // a reply to nothing
		}
	}
}

// ask gives an order and waits for the reply.
func (s *server) ask(ctx context.Context, o order) (report, error) {
	r, err := s.tell(ctx, o)
	if err != nil {
		return r, fmt.Errorf("server %d: %s: %w", s.number, o.Task, err)
	}
	return r, nil
}

func (s *server) tell(ctx context.Context, what any) (report, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return report{}, err
	}
	// An error in writing means that the process is going, which the wait below sees; a line fits into the pipe.
	_, _ = s.in.Write(append(text, '\n'))
	select {
	case r := <-s.replies:
		if r.Error != "" {
			return r, errors.New(r.Error)
		}
		return r, nil
	case <-s.ended:
		return report{}, s.gone()
	case <-ctx.Done():
	}
	select {
	case <-s.ended: // that is why: say so
		return report{}, s.gone()
	default:
		return report{}, context.Cause(ctx)
	}
}

// gone says how the process ended; it may be asked once it has been waited for.
func (p *process) gone() error { return fmt.Errorf("its process ended (%s)", p.cmd.ProcessState) }

// kill ends the process as kill -9 does, and says what the system saw of it.
func (s *server) kill() (string, error) {
	s.told.Store(true)
	if err := s.cmd.Process.Kill(); err != nil {
		return "", err
	}
	<-s.ended
	return s.cmd.ProcessState.String(), nil
}

// stop ends the process in peace, or else by force. A server that was never started, or has ended, is left alone.
func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	select {
	case <-s.ended:
		return nil
	default:
	}
	s.told.Store(true)
	_ = s.in.Close() // ends it; if it has ended already, good
	select {
	case <-s.ended:
		if !s.cmd.ProcessState.Success() {
			return fmt.Errorf("server %d did not end well: %s", s.number, s.cmd.ProcessState)
		}
		return nil
	case <-time.After(stopTime):
		_, err := s.kill()
		return errors.Join(fmt.Errorf("server %d did not end within %s", s.number, stopTime), err)
	}
}

func (s *server) name() ident.ServerName { return s.setup.Name }
