// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"encoding/json"
	"fmt"
	"iter"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// plainEvent is an event as the tests write it, and as the judge reads it.
type plainEvent struct {
	ID       ident.EventID   `json:"event_id"`
	Type     string          `json:"type"`
	Key      string          `json:"state_key"`
	Sender   string          `json:"sender"`
	Content  map[string]any  `json:"content"`
	Depth    int64           `json:"depth"`
	TS       int64           `json:"origin_server_ts"`
	Room     string          `json:"room_id"`
	Auth     []ident.EventID `json:"auth_events"`
	Prev     []ident.EventID `json:"prev_events"`
	Rejected bool            `json:"rejected,omitempty"`
}

// testRoom is a Source over events held in memory.
type testRoom struct {
	version  *event.Version
	plain    []plainEvent
	events   map[ident.EventID]*event.Event
	citing   map[ident.EventID][]ident.EventID
	rejected map[ident.EventID]bool
	fetched  int
}

func newTestRoom(tb testing.TB, version string) *testRoom {
	tb.Helper()
	v, ok := event.VersionOf(version)
	if !ok {
		tb.Fatalf("room version %s is not known", version)
	}
	return &testRoom{
		version:  v,
		events:   make(map[ident.EventID]*event.Event),
		citing:   make(map[ident.EventID][]ident.EventID),
		rejected: make(map[ident.EventID]bool),
	}
}

func (r *testRoom) Event(id ident.EventID) (*event.Event, error) {
	r.fetched++
	if e, ok := r.events[id]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("no such event")
}

func (r *testRoom) Rejected(id ident.EventID) bool { return r.rejected[id] }

func (r *testRoom) Citing(id ident.EventID) iter.Seq2[ident.EventID, error] {
	return func(yield func(ident.EventID, error) bool) {
		citing := r.citing[id]
		for i := len(citing) - 1; i >= 0; i-- {
			if !yield(citing[i], nil) {
				return
			}
		}
	}
}

// make turns a plain event into one that the rules can judge. Hashes and signatures are left empty: nothing here looks at
// them.
func (r *testRoom) make(tb testing.TB, p plainEvent) *event.Event {
	tb.Helper()
	fields := map[string]any{
		"type": p.Type, "state_key": p.Key, "sender": p.Sender, "content": p.Content, "depth": p.Depth,
		"origin_server_ts": p.TS, "auth_events": r.refs(p.Auth), "prev_events": r.refs(p.Prev),
		"hashes": map[string]string{"sha256": ""}, "signatures": struct{}{},
	}
	if !r.version.HashRoomID || p.Type != "m.room.create" {
		fields["room_id"] = p.Room
	}
	if r.version.EventIDFormat == event.IDField {
		fields["event_id"] = p.ID
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		tb.Fatal(err)
	}
	canonical, err := canonicaljson.Canonicalize(raw, r.version.Rules)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := event.ParseStored(r.version, p.ID, canonical)
	if err != nil {
		tb.Fatalf("event %s: %v", p.ID, err)
	}
	return e
}

func (r *testRoom) refs(ids []ident.EventID) any {
	if r.version.References == event.RefIDs {
		return append([]ident.EventID{}, ids...)
	}
	pairs := make([][2]any, 0, len(ids))
	for _, id := range ids {
		pairs = append(pairs, [2]any{id, map[string]string{"sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}})
	}
	return pairs
}

// keep makes the event known.
func (r *testRoom) keep(p plainEvent, e *event.Event) {
	r.plain = append(r.plain, p)
	r.events[p.ID] = e
	r.rejected[p.ID] = p.Rejected
	for _, a := range p.Auth {
		r.citing[a] = append(r.citing[a], p.ID)
	}
}

func (r *testRoom) add(tb testing.TB, p plainEvent) {
	tb.Helper()
	r.keep(p, r.make(tb, p))
}

// stateOf is the state that these events make.
func (r *testRoom) stateOf(ids []ident.EventID) StateMap {
	state := StateMap{}
	for _, id := range ids {
		slot, _ := r.events[id].Slot()
		state[slot] = id
	}
	return state
}
