// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// occupy stages made-up events of the first room, which wait and are not due for long. arrival is as it is stored.
func (s *server) occupy(origin ident.ServerName, arrival, from, n int) {
	s.net.t.Helper()
	err := s.store.Update(s.net.t.Context(), func(tx *persistence.Tx) error {
		for k := range n {
			nid := int64(1_000_000 + from + k)
			if err := tx.Stage(persistence.Staging{Event: nid, Room: 1, Origin: origin, Arrival: arrival, ReceivedAt: time.Now().UnixMilli()}); err != nil {
				return err
			}
			if err := tx.Wait(nid, []persistence.Missing{{ID: "$never", InGraph: true}}); err != nil {
				return err
			}
			if err := tx.Retry(nid, 1, time.Now().Add(1_000*time.Hour).UnixMilli(), ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.net.t.Fatal(err)
	}
}

// What this server asked for, be it an endless chain of auth events, takes no places of what is sent to it.
func TestWhatWasAskedForTakesNoPlaces(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.setRefuse(refuseAll)
		a, _, _, sent := fork(t, n)
		a.occupy("m.example", 4, 0, 25_000)
		if results := a.receive("b.example", sent[2].JSON()); results[sent[2].ID()] != "" {
			t.Errorf("result %q, want the event taken in", results[sent[2].ID()])
		}
	})
}

// A server that has all the places that one may have cannot take more by sending events whose place in the graph is not known.
func TestOutliersTakePlaces(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		outlier := a.stateEvent(room, rulesSlot)
		n.setRefuse(refuseAll)
		b.occupy("m.example", 1, 0, 5_000)
		if got := b.receive("m.example", outlier.JSON())[outlier.ID()]; !strings.Contains(got, "too many") {
			t.Errorf("from the server that fills the room: result %q, want a refusal", got)
		}
		for range 2 { // it is staged then, and takes no other place
			if got := b.receive("a.example", outlier.JSON())[outlier.ID()]; got != "" {
				t.Errorf("from another: result %q, want it taken in", got)
			}
		}
		if got := b.receive("m.example", outlier.JSON())[outlier.ID()]; got != "" {
			t.Errorf("once it is staged: result %q, want none", got)
		}
	})
}
