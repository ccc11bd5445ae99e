// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

// What waits is counted by kind and up to a limit, with the time of what waits longest.
func TestPending(t *testing.T) {
	s := newStore(t, Options{})
	pending := func(limit int) (p Pending) {
		update(t, s, func(tx *Tx) (err error) {
			p, err = tx.Pending(limit)
			return err
		})
		return p
	}
	if diff := cmp.Diff(Pending{}, pending(10)); diff != "" {
		t.Errorf("an empty store: (-want +got)\n%s", diff)
	}
	update(t, s, func(tx *Tx) error {
		for i, kind := range []int{KindPDU, KindEDU, KindPDU, KindPDU} {
			item := Outbound{Kind: kind, Content: []byte(`{}`), QueuedAt: int64(100 + i)}
			if _, err := tx.Enqueue(item, []ident.ServerName{"a.example", "b.example"}); err != nil {
				return err
			}
		}
		for event, waits := range []int{1, 0, 2, 0, 0} {
			err := tx.Stage(Staging{Event: int64(event + 1), Room: 1, Origin: "a.example", Arrival: 1, ReceivedAt: int64(200 + event)})
			if err == nil {
				err = tx.exec(`UPDATE staging SET waits = ? WHERE event = ?`, waits, event+1)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	want := Pending{PDUs: 3, EDUs: 1, OldestQueued: 100, Ready: 3, OldestReady: 201, Quarantined: 2}
	if diff := cmp.Diff(want, pending(10)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if p := pending(2); p.Ready != 2 || p.PDUs+p.EDUs != 2 {
		t.Errorf("up to 2: %+v", p)
	}
}
