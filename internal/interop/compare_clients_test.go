// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	clientsPage  = flag.String("compare-clients", "", "the page that the comparison with clients is written into; without it there is none")
	clientsRooms = flag.Int("compare-clients-rooms", 300, "rooms that the user is in")
)

const (
	clientsMessages = 5                // in each room
	clientsFill     = 15 * time.Minute // to make the rooms: Synapse takes half a second for each when the machine is quiet
	clientsRound    = 5 * time.Minute  // for one turn of one server

	// How often each thing is done in a turn.
	initialSyncs, emptySyncs, singleSyncs, receipts = 3, 150, 10, 70
	// clientsFilter asks all servers for the same: their defaults differ.
	clientsFilter = `{"room":{"timeline":{"limit":10}}}`
)

// bench is one server with two of its users.
type bench struct {
	peer        *Peer
	maker, user *Client
	rooms       []string
	since       string // the user's token
	sent        int    // messages
	clientContestant
}

// TestCompareClients has every server do what clients ask for, in turns, and writes down how long it took.
func TestCompareClients(t *testing.T) {
	if *clientsPage == "" {
		t.Skip("NOT RUN: make compare-clients does")
	}
	atLeastOneRound(t)
	busy := loadAverage()
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	benches := []*bench{newBench(t, StartHomeserver, "strata", ca), newBench(t, StartSynapse, "synapse", ca)}
	if os.Getenv(dendriteVariable) != "" {
		benches = append(benches, newBench(t, StartDendrite, "dendrite", ca))
	}
	var filling sync.WaitGroup
	for _, b := range benches {
		filling.Go(func() {
			ctx, cancel := bounded(t, clientsFill)
			defer cancel()
			b.left = b.fill(ctx)
		})
	}
	filling.Wait()
	for round := range *compareRounds {
		for _, b := range benches {
			if b.left == nil {
				b.takeTurn(t, round)
			}
		}
	}
	var results []clientContestant
	for _, b := range benches {
		if b.left != nil {
			t.Errorf("%s is left out: %v", b.name, b.left)
		}
		results = append(results, b.clientContestant)
	}
	if benches[0].left != nil {
		t.FailNow() // there is nothing to compare with
	}
	if err := updateComparison(*clientsPage, clientsBegin, compareClients(results, clientsSettings(busy))); err != nil {
		t.Fatal(err)
	}
}

func clientsSettings(busy string) string {
	return fmt.Sprintf("%s. %s, load average before it began %s. One user in %d rooms of version %s that another made, with %d messages each. %d rounds in turns, the servers beside "+
		"each other on the machine, the idle ones idle. Each round: %d initial syncs, %d empty ones, %d after one message, %d messages to a "+
		"waiting poll. Filter `%s`. All with SQLite, without TLS, and the settings of `internal/interop/config`.", time.Now().UTC().Format(time.DateOnly),
		machine(), busy, *clientsRooms, compareVersion, clientsMessages, *compareRounds, initialSyncs, emptySyncs, singleSyncs, receipts, clientsFilter)
}

// loadAverage is how many processes the machine had to run in the last minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	lastMinute, _, _ := strings.Cut(string(text), " ")
	return lastMinute
}

func newBench(t *testing.T, start Start, name string, ca *CA) *bench {
	t.Helper()
	b := &bench{peer: start(t, filepath.Join(t.TempDir(), name), ca).(*Peer)}
	b.name = b.peer.Describe()
	var err error
	if b.memory.started, err = processMemory(b.pid(), "VmRSS"); err != nil {
		t.Fatal(err)
	}
	b.maker, b.user = b.peer.NewClient(t, "maker"), b.peer.NewClient(t, "user")
	return b
}

func (b *bench) pid() int { return b.peer.now.child.Pid }

// fill makes the rooms with their messages, and returns when the user is shown all.
func (b *bench) fill(ctx context.Context) error {
	for range *clientsRooms {
		room, err := b.maker.CreateRoom(ctx, compareVersion)
		if err != nil {
			return err
		}
		if err := b.user.Join(ctx, room, ""); err != nil {
			return err
		}
		for range clientsMessages {
			if _, err := b.maker.Send(ctx, room, b.message()); err != nil {
				return err
			}
		}
		b.rooms = append(b.rooms, room)
	}
	for {
		all, err := b.sync(ctx, "", "0")
		if err != nil {
			return err
		}
		if len(all.reply.Rooms.Join) == len(b.rooms) && all.shows(b.rooms[len(b.rooms)-1], b.last()) {
			break
		}
	}
	var err error
	b.memory.filled, err = processMemory(b.pid(), "VmRSS")
	return err
}

// message is the text of the next message, and last that of the last one.
func (b *bench) message() string {
	b.sent++
	return b.last()
}

func (b *bench) last() string { return fmt.Sprintf("This is message number %d.", b.sent) }

// takeTurn is one round; a server that breaks down in it is left out.
func (b *bench) takeTurn(t *testing.T, number int) {
	t.Helper()
	ctx, cancel := bounded(t, clientsRound)
	defer cancel()
	var round clientRound
	for _, part := range []struct {
		work  *work
		times int
		do    func(context.Context, *clientRound) (time.Duration, error)
	}{
		{&round.initial, initialSyncs, b.syncInitially},
		{&round.empty, emptySyncs, b.syncEmpty},
		{&round.one, singleSyncs, b.syncOne},
		{&round.receipt, receipts, b.receive},
	} {
		if b.left = b.repeat(ctx, part.work, part.times, &round, part.do); b.left != nil {
			return
		}
	}
	b.rounds = append(b.rounds, round)
	for kind, bytes := range map[string]*int64{"VmRSS": &b.memory.ended, "RssAnon": &b.memory.own, "VmHWM": &b.memory.peak} {
		if *bytes, b.left = processMemory(b.pid(), kind); b.left != nil {
			return
		}
	}
	t.Logf("round %d, %s: initial %s, empty %s, one %s, receipt %s and at most %s, %d bytes", number+1, b.name, quantile(round.initial.clock, 0.5),
		quantile(round.empty.clock, 0.5), quantile(round.one.clock, 0.5), quantile(round.receipt.clock, 0.5), quantile(round.receipt.clock, 1), round.bytes)
}

// repeat does one kind of work a number of times, and measures.
func (b *bench) repeat(ctx context.Context, w *work, times int, round *clientRound, do func(context.Context, *clientRound) (time.Duration, error)) error {
	before, _, err := processCost(b.pid())
	if err != nil {
		return err
	}
	for range times {
		took, err := do(ctx, round)
		if err != nil {
			return err
		}
		w.clock = append(w.clock, took)
	}
	after, _, err := processCost(b.pid())
	w.cpu = after - before
	return err
}

func (b *bench) syncInitially(ctx context.Context, round *clientRound) (time.Duration, error) {
	answer, err := b.sync(ctx, "", "0")
	if err != nil {
		return 0, err
	}
	if shown := len(answer.reply.Rooms.Join); shown != len(b.rooms) {
		return 0, fmt.Errorf("an initial sync shows %d rooms of %d", shown, len(b.rooms))
	}
	b.since, round.bytes = answer.reply.NextBatch, answer.size
	return answer.took, nil
}

func (b *bench) syncEmpty(ctx context.Context, _ *clientRound) (time.Duration, error) {
	for {
		answer, err := b.sync(ctx, b.since, "0")
		if err != nil {
			return 0, err
		}
		b.since = answer.reply.NextBatch
		if len(answer.reply.Rooms.Join) == 0 { // otherwise something of what went before came late
			return answer.took, nil
		}
	}
}

// syncOne is the time from the reply to a sender until the user has the message, with a poll that begins at that reply.
func (b *bench) syncOne(ctx context.Context, _ *clientRound) (time.Duration, error) {
	room := b.rooms[b.sent%len(b.rooms)]
	if _, err := b.maker.Send(ctx, room, b.message()); err != nil {
		return 0, err
	}
	begun := time.Now()
	arrived, err := b.await(ctx, room, b.last())
	return arrived.Sub(begun), err
}

// receive is the time from the beginning of a sender's request until the user, whose poll is with the server by then, has the message.
func (b *bench) receive(ctx context.Context, _ *clientRound) (time.Duration, error) {
	type arrival struct {
		at  time.Time
		err error
	}
	room, message := b.rooms[b.sent%len(b.rooms)], b.message()
	asked, arrived := make(chan struct{}), make(chan arrival, 1)
	trace := &httptrace.ClientTrace{WroteRequest: func() func(httptrace.WroteRequestInfo) {
		once := sync.OnceFunc(func() { close(asked) })
		return func(httptrace.WroteRequestInfo) { once() }
	}()}
	go func() {
		at, err := b.await(httptrace.WithClientTrace(ctx, trace), room, message)
		arrived <- arrival{at, err}
	}()
	select {
	case <-asked:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	begun := time.Now()
	if _, err := b.maker.Send(ctx, room, message); err != nil {
		return 0, err
	}
	got := <-arrived
	return got.at.Sub(begun), got.err
}

// await polls until the user is shown a message, and returns the moment in which the answer was there.
func (b *bench) await(ctx context.Context, room, message string) (time.Time, error) {
	for {
		answer, err := b.sync(ctx, b.since, syncWait)
		if err != nil {
			return time.Time{}, fmt.Errorf("await %q: %w", message, err)
		}
		b.since = answer.reply.NextBatch
		if answer.shows(room, message) {
			return answer.at, nil
		}
	}
}

// answer is what came of one /sync.
type answer struct {
	reply syncReply
	at    time.Time // when its last byte was there
	took  time.Duration
	size  int // of the body, in bytes
}

// shows says whether a message is in the answer.
func (a answer) shows(room, message string) bool {
	for _, e := range a.reply.events(room) {
		if e.Body() == message {
			return true
		}
	}
	return false
}

// sync asks the server what is new for the user. Reading the answer is part of the time, decoding it is not.
func (b *bench) sync(ctx context.Context, since, timeout string) (answer, error) {
	query := url.Values{"filter": {clientsFilter}, "timeout": {timeout}}
	if since != "" {
		query.Set("since", since)
	}
	begun := time.Now()
	response, err := b.user.ask(ctx, http.MethodGet, "sync", query, nil)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return answer{}, fmt.Errorf("read /sync: %w", err)
	}
	got := answer{at: time.Now(), size: len(body)}
	got.took = got.at.Sub(begun)
	response.Body = io.NopCloser(bytes.NewReader(body))
	return got, decodeReply(response, "GET sync", &got.reply)
}
