// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/messaging"
)

const (
	kills    = 24               // of both servers together
	killWait = 30 * time.Second // bounds each wait; all together take a few seconds
)

// delivered is a line of a witness's journal: what the callback was given.
type delivered struct {
	Life     int    `json:"life"` // process id
	Position int64  `json:"position"`
	Event    string `json:"event"`
}

// witness is "strata serve --dev" with a subscription: its callback returns when the delivery is on disk. It is a process of its
// own, started as strata-witness DATADIR AUTHORITY.
func witness() {
	c := &serveCmd{Dev: true, DevCA: os.Args[2]}
	c.DataDir = os.Args[1]
	w := &world{env: map[string]string{}, out: newOutput(os.Stdout, os.Stderr, true)}
	w.out.json = true
	if err := c.witness(w); err != nil {
		os.Exit(w.out.fail(err))
	}
}

// witness is Run with a subscription.
func (c *serveCmd) witness(w *world) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p, err := c.plan(ctx, w)
	if err != nil {
		return err
	}
	defer p.close()
	journal, err := os.OpenFile(c.DataDir+".journal", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer journal.Close() // each line is synced
	opened, err := p.open(ctx)
	if err != nil {
		return err
	}
	server := opened.federation
	ended := make(chan error, 1)
	go func() {
		ended <- server.Subscribe(ctx, "witness", func(_ context.Context, d messaging.Delivery) error {
			line, err := json.Marshal(delivered{os.Getpid(), int64(d.Position), string(d.Event.ID())})
			if err != nil {
				return err
			}
			if _, err := journal.Write(append(line, '\n')); err != nil {
				return err
			}
			return journal.Sync()
		})
	}()
	err = p.run(ctx, w, opened)
	return errors.Join(err, <-ended, server.Close())
}

// victim is a server that is killed again and again. It belongs to the test's goroutine; acks are counted by its shells.
type victim struct {
	t    *testing.T
	dir  string
	name string
	cmd  *exec.Cmd
	out  *bufio.Reader
	log  bytes.Buffer

	answers bool // this life has said that it does

	mu    sync.Mutex
	acked []string      // event ids that "strata send" has printed
	news  chan struct{} // has room for one: something was acknowledged
}

// launch starts a life; ready waits until it answers.
func (v *victim) launch() {
	v.t.Helper()
	v.cmd = exec.Command("strata-witness", v.dir, filepath.Join(filepath.Dir(v.dir), "ca"))
	v.cmd.Stderr = &v.log
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		v.t.Fatal(err)
	}
	v.out = bufio.NewReader(out)
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.answers = false
}

func (v *victim) ready() {
	v.t.Helper()
	if v.answers {
		return
	}
	silent := time.AfterFunc(killWait, func() { _ = v.cmd.Process.Kill() }) // then the pipe ends
	defer silent.Stop()
	line, err := v.out.ReadBytes('\n')
	var u up
	if err := errors.Join(err, json.Unmarshal(line, &u)); err != nil {
		_ = v.cmd.Wait()
		v.t.Fatalf("%s ended before it answered: %v\n%s", v.dir, err, v.log.String())
	}
	if v.name != "" && v.name != u.ServerName {
		v.t.Fatalf("%s changed its name from %s to %s", v.dir, v.name, u.ServerName)
	}
	v.name, v.answers = u.ServerName, true
}

// kill is kill -9.
func (v *victim) kill() {
	_ = v.cmd.Process.Kill() // it may have ended
	_ = v.cmd.Wait()         // says that it was killed
}

// shell sends one event after the other as a user would, until ctx ends. A server that is dead or dies meanwhile is exit code 4.
func (v *victim) shell(ctx context.Context, args ...string) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, "strata", append(args, "--data-dir", v.dir)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
			v.note(strings.TrimSpace(stdout.String()))
		case ctx.Err() != nil: // killed with the others: what it did nobody was told
		case !errors.As(err, &exit) || exit.ExitCode() != exitCodes[control.Unreachable]:
			v.t.Errorf("%q at %s: %v, want exit code 0 or 4: %s", args, v.dir, err, stderr.String())
			return
		}
	}
}

func (v *victim) note(id string) {
	v.mu.Lock()
	v.acked = append(v.acked, id)
	v.mu.Unlock()
	select {
	case v.news <- struct{}{}:
	default:
	}
}

// busy waits until n more events were acknowledged, while others are under way.
func (v *victim) busy(n int) {
	v.t.Helper()
	deadline := time.After(killWait)
	for range n {
		select {
		case <-v.news:
		case <-deadline:
			_ = v.cmd.Process.Signal(syscall.SIGQUIT) // prints what it is about
			_ = v.cmd.Wait()
			v.t.Fatalf("%s acknowledges nothing more\n%s", v.dir, v.log.String())
		}
	}
}

// ask runs a command at the server and reads its JSON.
func (v *victim) ask(answer any, args ...string) {
	v.t.Helper()
	out, err := exec.Command("strata", append(args, "--data-dir", v.dir, "--json")...).CombinedOutput()
	if err := errors.Join(err, json.Unmarshal(out, answer)); err != nil {
		v.t.Fatalf("strata %q: %v\n%s", args, err, out)
	}
}

// TestKillUnderLoad: kill -9 at any moment of serve under load. After the restart nothing that was acknowledged is missing, on
// either server, and nothing is given to the callback under a second position.
func TestKillUnderLoad(t *testing.T) {
	dir := t.TempDir()
	both := [2]*victim{}
	for i, name := range []string{"one", "two"} {
		both[i] = &victim{t: t, dir: filepath.Join(dir, name), news: make(chan struct{}, 1)}
		t.Cleanup(both[i].kill)
		both[i].launch()
		both[i].ready()
	}
	one, two := both[0], both[1]
	var room struct {
		ID string `json:"room_id"`
	}
	one.ask(&room, "room", "create", "--as", "alice", "--public")
	two.ask(&room, "room", "join", room.ID, "--via", one.name, "--as", "bob")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var shells sync.WaitGroup
	for v, args := range map[*victim][][]string{
		one: {{"hello", "--as", "alice"}, {"--as", "alice", "--type", "m.room.topic", "--state-key", "", "--content", `{"topic":"a"}`}},
		two: {{"hello", "--as", "bob"}, {"--as", "bob", "--type", "m.room.member", "--state-key", "@bob:" + two.name, "--content", `{"membership":"join"}`}},
	} {
		for _, a := range args {
			shells.Go(func() { v.shell(ctx, append([]string{"send", room.ID}, a...)...) })
		}
	}
	for n := range kills {
		v := both[n%2]
		if n%6 < 4 { // else while it starts, before it answers anyone
			v.ready()
			v.busy(2 * (n % 5))
		}
		v.kill()
		v.launch()
	}
	one.ready()
	two.ready()
	stop()
	shells.Wait()
	checkAfterKills(t, both, room.ID)
}

// checkAfterKills compares what the servers have, now that they live and rest, with what was acknowledged.
func checkAfterKills(t *testing.T, both [2]*victim, room string) {
	var acked []string
	for _, v := range both {
		t.Logf("%s acknowledged %d events", filepath.Base(v.dir), len(v.acked))
		if len(v.acked) < kills/4 {
			t.Errorf("%s acknowledged %d events only: that was no load", v.dir, len(v.acked))
		}
		acked = append(acked, v.acked...)
	}
	var states [2]inspect.RoomDetail
	var timelines [2][]inspect.Event
	wanted := slices.Clone(acked) // and what one of them has although a kill kept it from being acknowledged
	for i, v := range both {
		v.ask(&timelines[i], "room", "timeline", room, "--limit", "10000")
		for _, e := range timelines[i] {
			if e.EventID != "" && e.Outcome == "accepted" {
				wanted = append(wanted, e.EventID)
			}
		}
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	for i, v := range both {
		for _, id := range wanted {
			if slices.ContainsFunc(timelines[i], func(e inspect.Event) bool { return e.EventID == id }) {
				continue
			}
			var e inspect.Event // on its way
			if v.ask(&e, "event", "get", id, "--wait", killWait.String()); e.Outcome != "accepted" {
				t.Errorf("%s: event %s is %s, want accepted", v.dir, id, e.Outcome)
			}
		}
	}
	for i, v := range both {
		v.ask(&states[i], "room", "show", room)
	}
	if diff := cmp.Diff(stateOf(states[0]), stateOf(states[1])); diff != "" {
		t.Errorf("the servers' states differ (-one +two):\n%s", diff)
	}
	for _, v := range both {
		var timeline []inspect.Event
		v.ask(&timeline, "room", "timeline", room, "--limit", "10000")
		if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := v.cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", v.dir, err, v.log.String())
		}
		v.checkJournal(timeline, acked)
	}
}

// stateOf gives the event of each piece of state.
func stateOf(room inspect.RoomDetail) map[[2]string]string {
	state := map[[2]string]string{}
	for _, e := range room.State {
		state[[2]string{e.Type, *e.StateKey}] = e.EventID
	}
	return state
}

// checkJournal: the callback got all that was acknowledged, each event under one position, that of the timeline, and in each life
// in the order of positions.
func (v *victim) checkJournal(timeline []inspect.Event, acked []string) {
	text, err := os.ReadFile(v.dir + ".journal")
	if err != nil {
		v.t.Fatal(err)
	}
	position, event, last := map[string]int64{}, map[int64]string{}, map[int]int64{}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		var d delivered
		if err := json.Unmarshal(line, &d); err != nil {
			v.t.Fatalf("%s: %v in %s", v.dir, err, line)
		}
		if p, known := position[d.Event]; known && p != d.Position {
			v.t.Errorf("%s: event %s was delivered at %d and again at %d", v.dir, d.Event, p, d.Position)
		}
		if e, known := event[d.Position]; known && e != d.Event {
			v.t.Errorf("%s: position %d held %s and then %s", v.dir, d.Position, e, d.Event)
		}
		if d.Position <= last[d.Life] {
			v.t.Errorf("%s: life %d was given position %d after %d", v.dir, d.Life, d.Position, last[d.Life])
		}
		position[d.Event], event[d.Position], last[d.Life] = d.Position, d.Event, d.Position
	}
	seen := map[string]bool{}
	for _, e := range timeline {
		if seen[e.EventID] {
			v.t.Errorf("%s: event %s is twice in the timeline", v.dir, e.EventID)
		}
		seen[e.EventID] = true
		if position[e.EventID] != e.Position {
			v.t.Errorf("%s: event %s is at %d, the callback got it at %d (0: never)", v.dir, e.EventID, e.Position, position[e.EventID])
		}
	}
	for _, id := range acked {
		if !seen[id] {
			v.t.Errorf("%s: acknowledged event %s is not in the timeline", v.dir, id)
		}
	}
	v.t.Logf("%s: %d lives, %d events, %d deliveries", filepath.Base(v.dir), len(last), len(event), bytes.Count(text, []byte("\n")))
}
