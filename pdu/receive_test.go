// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
)

// Bad PDUs beside a good one: each is refused by itself, nothing panics, and the good one is taken in (T-04, T-09, P-15, P-25).
func TestBadPDUs(t *testing.T) {
	for _, version := range event.Versions() {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b := n.start("a.example"), n.start("b.example")
				room := a.createPublic(version, alice)
				b.join(room, bob, a)
				n.deliver()
				good := b.send(room, text(bob, "good"))
				n.hold()
				wire := string(good.JSON())
				deep := `{"room_id":"` + string(room) + `","content":` + strings.Repeat(`{"a":`, 9_000) + `1` + strings.Repeat(`}`, 9_001)
				bad := []string{
					`null`, `7`, `"x"`, `[]`, `{}`, `{`, ``, // G-C1
					`{"room_id":"!:"}`, `{"room_id":"!a:b c"}`, `{"room_id":"!a:é"}`, `{"room_id":"!abc"}`, `{"room_id":"!"}`, // G-C2
					`{"room_id":7}`, `{"type":"m.room.create","content":{"room_version":"12"}}`,
					fmt.Sprintf(`{"room_id":%q}`, room),
					fmt.Sprintf(`{"room_id":%q,"type":"m.room.aliases","content":{}}`, room), // G-C3
					deep, // G-C6
					strings.Replace(wire, `"content":{`, `"content":{"a":1,"a":2,`, 1),                            // G-J3
					strings.Replace(wire, `"good"`, `"\ud83d"`, 1),                                                // G-J5
					strings.Replace(wire, `"good"`, `"`+strings.Repeat("x", event.MaxSize)+`"`, 1),                // G-D3
					strings.Replace(wire, `"prev_events":[`, `"prev_events":[`+strings.Repeat(`"$x",`, 5_000), 1), // G-D1
					strings.Replace(wire, `"ed25519:1":"`, `"ed25519:1":"AAAA`, 1),                                // P-15
				}
				var pdus [][]byte
				for _, text := range bad {
					pdus = append(pdus, []byte(text))
				}
				results := a.receive("m.example", pdus...)
				for id, problem := range results {
					if problem == "" {
						t.Errorf("%s was taken in", id)
					}
				}
				if results := a.receive("m.example", append(pdus, good.JSON())...); results[good.ID()] != "" {
					t.Errorf("good PDU among bad ones: %q", results[good.ID()])
				}
				a.wantOutcome(good, pdu.Accepted, "", "")
				var kept []persistence.Verdict
				err := a.store.View(t.Context(), func(tx *persistence.Tx) (err error) {
					kept, err = tx.Verdicts(0, 1000)
					return err
				})
				if err != nil || len(kept) == 0 {
					t.Errorf("%d records of dropped PDUs, %v", len(kept), err)
				}
				for _, v := range kept {
					if v.Outcome != persistence.OutcomeDropped {
						t.Errorf("record %+v, want dropped", v)
					}
				}
			})
		})
	}
}

// T-07, T-09: PDUs of rooms that are not known here are refused one by one.
func TestUnknownRooms(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		foreign := b.createPublic("1", bob)
		e := b.send(foreign, text(bob, "x"))
		if results := a.receive("b.example", e.JSON()); results[e.ID()] == "" {
			t.Errorf("PDU of an unknown room: %v, want an error", results)
		}
		hashed := b.createPublic("12", bob)
		create := b.stateEvent(hashed, createSlot)
		if results := a.receive("b.example", create.JSON()); results[create.ID()] == "" {
			t.Errorf("T-08: create event of an unknown room: %v, want an error under its id", results)
		}
	})
}

// A good copy of an event that arrived badly signed before is taken in, and replaces the record.
func TestBadCopyFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		e := b.send(room, text(bob, "x"))
		n.hold()
		bad := []byte(strings.Replace(string(e.JSON()), `"ed25519:1":"`, `"ed25519:1":"AAAA`, 1))
		if results := a.receive("m.example", bad); results[e.ID()] == "" {
			t.Fatalf("badly signed: %v", results)
		}
		a.wantOutcome(e, pdu.Dropped, "P-26", "P-15")
		a.receive("b.example", e.JSON())
		if stored, err := a.engine.Event(t.Context(), e.ID()); err != nil || stored.Outcome != pdu.Accepted {
			t.Errorf("good copy: %v, %v", stored.Outcome, err)
		}
		a.wantOutcome(e, pdu.Accepted, "", "")
		a.receive("m.example", bad)
		a.wantOutcome(e, pdu.Accepted, "", "")
	})
}
