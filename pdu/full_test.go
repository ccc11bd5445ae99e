// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// fill makes it look as if a server had sent so many events of a room whose parents exist nowhere.
func (s *server) fill(room ident.RoomID, from ident.ServerName, count int) {
	s.net.t.Helper()
	err := s.store.Update(s.net.t.Context(), func(tx *persistence.Tx) error {
		row, _, err := tx.Room(room)
		if err != nil {
			return err
		}
		for k := range count {
			id := ident.EventID(fmt.Sprintf("$%s-%d", from, k))
			nid, _, err := tx.AddEvent(persistence.Event{RoomNID: row.NID, ID: id, JSON: []byte(`{}`)})
			if err != nil {
				return err
			}
			if err := tx.Stage(persistence.Staging{Event: nid, Room: row.NID, Origin: from, Arrival: 1, ReceivedAt: time.Now().UnixMilli()}); err != nil {
				return err
			}
			if err := tx.Wait(nid, []persistence.Missing{{ID: "$nowhere", InGraph: true}}); err != nil {
				return err
			}
			if err := tx.Retry(nid, 20, time.Now().Add(24*time.Hour).UnixMilli(), ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.net.t.Fatal(err)
	}
}

// A server that sends events whose parents exist nowhere fills its own share of a room, and not the room.
func TestOneServerCannotFillARoom(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.setRefuse(refuseAll)
		a, _, _, sent := fork(t, n)
		a.fill(sent[0].RoomID(), "m.example", 5_000)
		if results := a.receive("m.example", sent[2].JSON()); results[sent[2].ID()] == "" {
			t.Error("a server with 5,000 quarantined events may send more")
		}
		if results := a.receive("b.example", sent[0].JSON()); results[sent[0].ID()] != "" {
			t.Errorf("another server: %q", results[sent[0].ID()])
		}
		a.wantOutcome(sent[0], pdu.Accepted, "", "")
	})
}

// However many servers fill a room with what nobody can judge, one that has sent little is heard, and so is what it refers to; what
// has to go for that is recorded, and comes from those that took most of the places.
func TestManyServersCannotFillARoom(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.setRefuse(refuseAll)
		a, _, room, sent := fork(t, n)
		a.receive("b.example", sent[2].JSON())
		a.wantOutcome(sent[2], pdu.Quarantined, "", "")
		for k := range 4 {
			a.fill(room, ident.ServerName(fmt.Sprintf("m%d.example", k)), 5_000)
		}
		if results := a.receive("b.example", sent[1].JSON()); results[sent[1].ID()] != "" {
			t.Errorf("an event of a server that has sent little: %q", results[sent[1].ID()])
		}
		if results := a.receive("m1.example", sent[0].JSON()); results[sent[0].ID()] == "" {
			t.Error("a server that has filled its share may send more")
		}
		a.wantOutcome(sent[1], pdu.Quarantined, "", "")
		given := 0
		for k := range 4 {
			v, found, err := a.engine.Verdict(t.Context(), ident.EventID(fmt.Sprintf("$m%d.example-0", k)))
			if err != nil {
				t.Fatal(err)
			}
			if found && v.Outcome == pdu.Dropped && v.Decisive().Rule == "P-93" {
				given++
			}
		}
		if given == 0 {
			t.Error("nothing was given up, or without a record")
		}
		n.setRefuse(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		a.wantOutcome(sent[2], pdu.Accepted, "", "")
	})
}

// slowKeys is every server's key, but once slow is set none comes before patience ends.
type slowKeys struct{ slow atomic.Bool }

func (s *slowKeys) Keys(ctx context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	if s.slow.Load() {
		<-ctx.Done()
		return nil
	}
	return allKeys{}.Keys(ctx, queries)
}

// A search that runs out of time in the middle ends like any other: it is made again later, not at once and for ever.
func TestSearchThatRunsOutOfTime(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		source := &slowKeys{}
		n.keys = source
		a, _, _, sent := fork(t, n)
		n.setRefuse(func(_, _ ident.ServerName, _ transport.Call) error {
			source.slow.Store(true)
			return nil
		})
		a.receive("b.example", sent[2].JSON())
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		// Searches of up to two requests begin after pauses of 10 s, 20 s, 40 s … of up to an hour.
		if count := len(n.requests()); count < 5 || count > 25 {
			t.Errorf("%d requests in two hours, want some 20", count)
		}
		n.setRefuse(nil)
		source.slow.Store(false)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		a.wantOutcome(sent[2], pdu.Accepted, "", "")
	})
}
