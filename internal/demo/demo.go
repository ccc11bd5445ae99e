// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// What a demo may be asked for.
const (
	MinServers = 2  // one to die, one to go on
	MaxServers = 12 // processes with a database each: more only shows how slow the machine is
	MaxEvents  = 1000
)

// ErrNotProven: the demo ran and something of what it promises was not seen; the Result says what. The servers' data is kept.
var ErrNotProven = errors.New("not proven")

// errTime is why a demo is broken off that takes too long.
var errTime = errors.New("the demo's time was over")

// Options are what a demo is asked for. All fields are needed but Keep and Progress.
type Options struct {
	Servers     int
	Events      int    // sent by all servers together, once all are in the room
	RoomVersion string // "1" to "12"
	Timeout     time.Duration
	Keep        string // directory to leave the servers' data in, new or empty; "" for a temporary one that is removed
	// Child makes the command of a server's process, which must call Serve. The demo takes its standard streams. It is called
	// from several goroutines.
	Child    func() *exec.Cmd
	Progress io.Writer // gets the story while it happens
}

// Validate names every fault of what was asked for.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.Servers < MinServers || o.Servers > MaxServers {
		fault("servers: %d, must be %d to %d", o.Servers, MinServers, MaxServers)
	}
	if o.Events < MinEvents || o.Events > MaxEvents {
		fault("events: %d, must be %d to %d", o.Events, MinEvents, MaxEvents)
	}
	if _, known := event.VersionOf(o.RoomVersion); !known {
		fault("room version %q: must be one of %v", o.RoomVersion, event.Versions())
	}
	if o.Timeout <= 0 {
		fault("timeout %s: must be more than 0", o.Timeout)
	}
	if o.Keep != "" {
		switch found, err := os.ReadDir(o.Keep); {
		case len(found) > 0:
			fault("directory %s: must be new or empty", o.Keep)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			fault("directory to keep data in: %w", err)
		}
	}
	return errors.Join(faults...)
}

// Run plays the demo and judges it. It returns the result with nil when everything is proven, with ErrNotProven when not; any
// other error, that of ctx among them, means that there is no result. No process of the demo runs when it returns.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	dir, err := o.directory()
	if err != nil {
		return Result{}, err
	}
	begun := time.Now()
	s := &story{options: o, dir: dir, news: newLedger(o.Servers), tell: &narrator{w: o.Progress, begun: begun}}
	result, err := s.run(ctx)
	result.ElapsedMS = time.Since(begun).Milliseconds()
	if o.Keep != "" || errors.Is(err, ErrNotProven) {
		result.Dir = dir
		return result, err
	}
	return result, errors.Join(err, os.RemoveAll(dir))
}

// directory makes the one that the servers' data goes into.
func (o Options) directory() (string, error) {
	if o.Keep == "" {
		return os.MkdirTemp("", "strata-demo-")
	}
	dir, err := filepath.Abs(o.Keep)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// run plays, stops the servers whatever happened, and judges what they left.
func (s *story) run(ctx context.Context) (Result, error) {
	inside, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	inside, cancel := context.WithTimeoutCause(inside, s.options.Timeout, errTime)
	defer cancel()
	if err := s.cast(broken); err != nil {
		return Result{}, err
	}
	end, err := s.watch(inside)
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx) // the user has had enough
	}
	result := s.judge(end, err)
	if !result.OK {
		return result, ErrNotProven
	}
	return result, nil
}

// ending is what the servers said when all was over.
type ending struct {
	states       []map[string]ident.EventID
	transactions []Transaction
}

// watch plays the acts, asks the servers for the end of the story, and stops them in any case.
func (s *story) watch(ctx context.Context) (end ending, err error) {
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.play(ctx); err != nil {
		return end, err
	}
	s.tell.step("The servers are asked for their view of the room and stopped. Each has recorded on disk what its program\n" +
		"was given; these files are now compared with what was sent.")
	states, err := s.ask(ctx, order{Task: taskState, Room: s.room})
	if err != nil {
		return end, err
	}
	for _, r := range states {
		end.states = append(end.states, r.State)
	}
	sent, err := s.ask(ctx, order{Task: taskSent})
	for _, r := range sent {
		end.transactions = append(end.transactions, r.Sent...)
	}
	return end, err
}

// judge makes the result of the files and the end of the story, or of what broke it off.
func (s *story) judge(end ending, broken error) Result {
	journals := make([][][]entry, len(s.servers))
	result := Result{
		OK: true, Servers: s.options.Servers, RoomVersion: s.options.RoomVersion, Sent: len(s.sent), Expected: len(s.sent) * len(s.servers),
		Transactions: len(end.transactions), Restarts: s.restarts, Faults: []string{}, names: map[ident.ServerName]string{}, list: end.transactions,
	}
	if broken != nil {
		result.fault(strings.Split(broken.Error(), "\n")...)
	}
	for i, server := range s.servers {
		runs, err := readJournal(filepath.Join(server.setup.Dir, journalFile))
		if err != nil {
			result.fault(err.Error())
		}
		journals[i] = runs
		result.names[server.name()] = fmt.Sprintf("server %d", server.number)
	}
	v := judge(s.sent, journals)
	result.Delivered, result.Lost, result.Duplicated, result.Redelivered = v.delivered, v.lost, v.duplicated, v.redelivered
	result.fault(v.faults...)
	for _, t := range end.transactions {
		result.Attempts += t.Attempts
	}
	if len(s.sent) < s.options.Events {
		result.fault(fmt.Sprintf("only %d of %d events were sent", len(s.sent), s.options.Events))
	}
	if len(end.states) == len(s.servers) {
		result.StateEntries = len(end.states[0])
		result.fault(compareStates(end.states)...)
	}
	return result
}
