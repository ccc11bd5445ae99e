// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// sketch is the part of an event that a test is about; testRoom fills in the rest. The judging script reads the same form.
type sketch struct {
	Sender   string          `json:"sender"`
	Type     string          `json:"type"`
	StateKey *string         `json:"state_key,omitempty"`
	Content  json.RawMessage `json:"content"`
	First    bool            `json:"first,omitempty"`   // the create event is the only one in prev_events
	Prev     bool            `json:"prev,omitempty"`    // a create event that has prev_events
	Room     string          `json:"room,omitempty"`    // a room_id other than the room's
	Redacts  string          `json:"redacts,omitempty"` // the top-level property
	ID       string          `json:"id,omitempty"`      // event_id, room versions 1 and 2
}

const (
	testRoomID  = "!room:a"
	otherParent = "$other:a"
)

// testRoom makes the events of one room. Hashes and signatures are left empty: the rules do not look at them.
type testRoom struct {
	tb      testing.TB
	version *event.Version
	create  *event.Event // nil until the first create event is made
	made    int
}

func newTestRoom(tb testing.TB, version string) *testRoom {
	tb.Helper()
	v, ok := event.VersionOf(version)
	if !ok {
		tb.Fatalf("room version %s is not known", version)
	}
	return &testRoom{tb: tb, version: v}
}

// event makes the event of a sketch. The first create event made becomes the room's.
func (r *testRoom) event(s sketch) *event.Event {
	r.tb.Helper()
	e, err := r.tryEvent(s, nil)
	if err != nil {
		r.tb.Fatalf("room version %s: %s by %s with content %s: %v", r.version.ID, s.Type, s.Sender, s.Content, err)
	}
	return e
}

// tryEvent is event for sketches that may not be events at all.
func (r *testRoom) tryEvent(s sketch, authEvents []*event.Event) (*event.Event, error) {
	r.made++
	number := r.made
	fields := map[string]any{
		"sender": s.Sender, "type": s.Type, "content": s.Content, "depth": number, "origin_server_ts": number,
		"hashes": map[string]string{"sha256": ""}, "signatures": struct{}{},
		"prev_events": r.refs(r.parents(s)), "auth_events": r.refs(idsOf(authEvents)),
	}
	if s.StateKey != nil {
		fields["state_key"] = *s.StateKey
	}
	if s.Redacts != "" {
		fields["redacts"] = s.Redacts
	}
	if room := r.roomIDFor(s); room != "" {
		fields["room_id"] = room
	}
	id := r.idFor(s, number)
	if r.version.EventIDFormat == event.IDField {
		fields["event_id"] = id
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	canonical, err := canonicaljson.Canonicalize(raw, r.version.Rules)
	if err != nil {
		return nil, err
	}
	e, err := event.ParseStored(r.version, id, canonical)
	if err == nil && s.Type == typeCreate && r.create == nil {
		r.create = e
	}
	return e, err
}

func (r *testRoom) parents(s sketch) []ident.EventID {
	switch {
	case s.Type == typeCreate && !s.Prev:
		return nil
	case s.First && r.create != nil:
		return []ident.EventID{r.create.ID()}
	}
	return []ident.EventID{otherParent}
}

func (r *testRoom) roomIDFor(s sketch) string {
	switch {
	case s.Room != "":
		return s.Room
	case !r.version.HashRoomID:
		return testRoomID
	case s.Type == typeCreate:
		return ""
	case r.create != nil:
		return string(r.create.RoomID())
	}
	return "!" + hashID(0)
}

func (r *testRoom) idFor(s sketch, number int) ident.EventID {
	switch {
	case s.ID != "":
		return ident.EventID(s.ID)
	case r.version.EventIDFormat == event.IDField:
		return ident.EventID(fmt.Sprintf("$%d:a", number))
	}
	return ident.EventID("$" + hashID(number))
}

// hashID has the shape of an event id of room version 4 and later.
func hashID(number int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "event %d", number))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// refs is a list of references as this room version writes them.
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

func idsOf(events []*event.Event) []ident.EventID {
	ids := make([]ident.EventID, 0, len(events))
	for _, e := range events {
		ids = append(ids, e.ID())
	}
	return ids
}

// createSketch is a create event that the rules accept in this room version.
func createSketch(version *event.Version, sender, content string) sketch {
	if content == "" {
		content = "{}"
	}
	if version.CreatorInContent {
		merged := map[string]json.RawMessage{"creator": json.RawMessage(fmt.Sprintf("%q", sender))}
		if json.Unmarshal([]byte(content), &merged) == nil {
			raw, _ := json.Marshal(merged)
			content = string(raw)
		}
	}
	return stateSketch(sender, typeCreate, "", content)
}

func stateSketch(sender, typ, key, content string) sketch {
	return sketch{Sender: sender, Type: typ, StateKey: &key, Content: json.RawMessage(content)}
}

func memberSketch(sender, target, membership, content string) sketch {
	merged := map[string]json.RawMessage{}
	if content != "" {
		_ = json.Unmarshal([]byte(content), &merged)
	}
	merged["membership"] = json.RawMessage(fmt.Sprintf("%q", membership))
	raw, _ := json.Marshal(merged)
	return stateSketch(sender, typeMember, target, string(raw))
}
