// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	// absenceBacklog is how much waits, one by one, for a server that is away: the least that may be set. What came before is treated
	// as if it were a week old.
	absenceBacklog = 50
	// absenceMessages is what is said in each room meanwhile: more than three times of what waits.
	absenceMessages = 90
	// absenceTimeout bounds the whole; the half of it is spent on what happens meanwhile.
	absenceTimeout = time.Minute
)

// A Synapse that was away for longer than anything is kept for it is given the present of its rooms, and finds the rest itself, as
// far back as its users look; of the room that nobody of it is in any more it is given the end (T-14, E-08).
func TestSynapseIsBackAfterALongAbsence(t *testing.T) {
	ctx, cancel := bounded(t, absenceTimeout)
	defer cancel()
	p := newPair(t, fmt.Sprintf("STRATA_FEDERATION__DESTINATION_BACKLOG_ITEMS=%d", absenceBacklog))
	erin := p.synapse.NewClient(t, "erin")
	closed := p.room(ctx, t, "10")
	missed := map[string][]string{}
	for _, version := range []string{"6", "12"} {
		room := p.room(ctx, t, version)
		if err := erin.Join(ctx, room, p.strata.ServerName()); err != nil {
			t.Fatal(err)
		}
		tell(ctx, t, room, erin, p.alice, "me too")
		missed[room] = nil
	}
	p.synapse.Kill()
	p.remove(ctx, t, closed, p.bob)
	for room := range missed {
		missed[room] = p.goOn(ctx, t, room, erin)
	}
	log, err := os.ReadFile(p.alice.strata.now.logFile)
	if err != nil || !strings.Contains(string(log), "transaction.compacted") {
		t.Fatalf("nothing of the log was made shorter (%v): this tests nothing", err)
	}
	p.synapse.Restart(t)
	begun := time.Now()
	for room, said := range missed {
		tell(ctx, t, room, p.bob, p.alice, "did I miss anything?")
		if _, err := p.bob.Await(ctx, room, said[absenceMessages-1]); err != nil {
			t.Fatalf("the last thing said in %s: %v", room, err)
		}
		tell(ctx, t, room, p.alice, p.bob, "look back")
		tell(ctx, t, room, p.bob, p.alice, "I will")
		compareState(ctx, t, room, p.alice, p.bob)
		if _, err := erin.Send(ctx, room, "am I still here?"); err == nil {
			t.Error("Synapse lets talk who was removed while it was away")
		}
	}
	witness(ctx, t, closed, p.bob, p.bob.UserID, "leave")
	t.Logf("all rooms were at the present %s after the start", time.Since(begun).Round(time.Millisecond))
	for room, said := range missed {
		p.findsAll(ctx, t, room, said)
	}
	t.Logf("and all that was said was found %s after it", time.Since(begun).Round(time.Millisecond))
}

// goOn is what happens in a room while Synapse is away: much is said, and before most of it the topic is set, one joins and leaves,
// one joins and stays, and a user of Synapse is removed. It gives what was said.
func (p *pair) goOn(ctx context.Context, t *testing.T, room string, removed Member) (said []string) {
	t.Helper()
	guest, newcomer := p.strata.NewMember(t, "guest").(*strataMember), p.strata.NewMember(t, "newcomer")
	try := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.alice.SetState(ctx, room, "m.room.topic", "", map[string]string{"topic": "while you were away"})
	try(err)
	try(guest.Join(ctx, room, p.strata.ServerName()))
	p.remove(ctx, t, room, removed)
	try(newcomer.Join(ctx, room, p.strata.ServerName()))
	try(guest.Leave(ctx, room))
	for n := range absenceMessages {
		id, err := p.alice.Send(ctx, room, fmt.Sprintf("missed %d", n))
		try(err)
		said = append(said, id)
	}
	return said
}

// remove has alice remove somebody from a room.
func (p *pair) remove(ctx context.Context, t *testing.T, room string, who Member) {
	t.Helper()
	if _, err := p.alice.SetState(ctx, room, "m.room.member", who.ID(), map[string]string{"membership": "leave"}); err != nil {
		t.Fatal(err)
	}
}

// findsAll has bob look back until he has found everything, which Synapse asks for a piece at a time.
func (p *pair) findsAll(ctx context.Context, t *testing.T, room string, said []string) {
	t.Helper()
	pause := time.NewTicker(time.Second)
	defer pause.Stop()
	for {
		missing := map[string]bool{}
		for _, id := range said {
			missing[id] = true
		}
		err := p.bob.History(ctx, room, func(e Event) bool {
			delete(missing, e.ID)
			return len(missing) > 0
		})
		if err == nil && len(missing) == 0 {
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			t.Fatalf("%s: %d of %d messages are not found by looking back (%v)", room, len(missing), len(said), err)
		}
	}
}
