// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// someKeys is every server's key but that of one, which cannot be asked while down is set.
type someKeys struct {
	without ident.ServerName
	down    atomic.Bool
}

func (s *someKeys) Keys(ctx context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	found := allKeys{}.Keys(ctx, queries)
	for q := range found {
		if q.Server == s.without && s.down.Load() {
			delete(found, q)
		}
	}
	return found
}

// relayed is a room of a and b, and a message of b that c hands to a while nobody can ask b for its key.
func relayed(t *testing.T, n *network) (a *server, source *someKeys, e *event.Event) {
	t.Helper()
	source = &someKeys{without: "b.example"}
	n.keys = source
	a, b := n.start("a.example"), n.start("b.example")
	room := a.createPublic("10", alice)
	b.join(room, bob, a)
	n.deliver()
	e = b.send(room, text(bob, "x"))
	n.hold()
	source.down.Store(true)
	return a, source, e
}

// An event whose key cannot be had right now is not lost, although its sender will not send it again: not over a restart either.
func TestEventWaitsForItsKey(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, source, e := relayed(t, n)
		if results := a.receive("c.example", e.JSON()); results[e.ID()] != "" {
			t.Errorf("result %q, want that it is taken in", results[e.ID()])
		}
		a.wantOutcome(e, pdu.Quarantined, "P-26", "P-15")
		time.Sleep(time.Hour)
		synctest.Wait()
		a.wantOutcome(e, pdu.Quarantined, "P-26", "P-15")
		a.restart()
		source.down.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		a.wantOutcome(e, pdu.Accepted, "", "")
		if _, found, err := a.engine.Verdict(t.Context(), e.ID()); err != nil || found {
			t.Errorf("a record of the wait is left: %v, %v", found, err)
		}
	})
}

// While a copy waits for a key, it is in the way of no better copy: the origin of a forgery decides nothing about the event.
func TestGoodCopyWhileAnotherWaitsForAKey(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, source, e := relayed(t, n)
		forged := strings.Replace(string(e.JSON()), `"ed25519:1":"`, `"ed25519:1":"AAAA`, 1)
		a.receive("c.example", []byte(forged))
		a.wantOutcome(e, pdu.Quarantined, "P-26", "P-15")
		source.down.Store(false)
		a.receive("b.example", e.JSON())
		a.wantOutcome(e, pdu.Accepted, "", "")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		a.wantOutcome(e, pdu.Accepted, "", "")
	})
}

// The wait for a key ends after a day, visibly.
func TestKeyThatNeverComes(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, source, e := relayed(t, n)
		a.receive("c.example", e.JSON())
		time.Sleep(26 * time.Hour)
		synctest.Wait()
		a.wantOutcome(e, pdu.Dropped, "P-26", "P-15")
		source.down.Store(false)
		a.receive("b.example", e.JSON())
		a.wantOutcome(e, pdu.Accepted, "", "")
	})
}

// What is kept is the event, without what counts for nothing: no origin decides how long unsigned is.
func TestUnverifiedEventsAreSmall(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, source, e := relayed(t, n)
		padded := fmt.Appendf(nil, `{"unsigned":{"pad":%q},%s`, strings.Repeat("x", event.MaxSize), e.JSON()[1:])
		a.receive("c.example", padded)
		a.wantOutcome(e, pdu.Quarantined, "P-26", "P-15")
		err := a.store.View(t.Context(), func(tx *persistence.Tx) error {
			kept, err := tx.DueUnverified(math.MaxInt64, 10)
			if err != nil || len(kept) != 1 || len(kept[0].JSON) > len(e.JSON()) {
				t.Errorf("%d events are kept, %v, want one of at most %d bytes", len(kept), err, len(e.JSON()))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		source.down.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		a.wantOutcome(e, pdu.Accepted, "", "")
	})
}

// What one origin can make us keep is bounded; what is beyond it is refused, and what others send is not.
func TestUnverifiedEventsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, e := relayed(t, n)
		refused := 0
		for k := range 5 {
			var pdus [][]byte
			for j := range 50 {
				pdus = append(pdus, build(t, e.RoomID(), text(bob, fmt.Sprint(k, j)), []*event.Event{e}, nil).JSON())
			}
			for _, problem := range a.receive("c.example", pdus...) {
				if problem != "" {
					refused++
				}
			}
		}
		if refused != 50 {
			t.Errorf("%d of 250 refused, want 50", refused)
		}
		if results := a.receive("d.example", e.JSON()); results[e.ID()] != "" {
			t.Errorf("result %q for another origin, want that it is taken in", results[e.ID()])
		}
	})
}
