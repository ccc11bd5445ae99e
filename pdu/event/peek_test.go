// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// T-08: what is looked at before the room version is known. How the event is spelt does not matter, nor does unsigned (P-19).
func TestPeek(t *testing.T) {
	for _, tt := range []struct {
		wire    string
		room    ident.RoomID
		version string
		ok      bool
		id      ident.EventID
	}{
		{`{"event_id":"$x:b","room_id":"!a:b"}`, "!a:b", "", true, "$x:b"},
		{`{ "room_id": "!\u0061:b", "event_id": "$\u0078:b" }`, "!a:b", "", true, "$x:b"},
		{`{"room_id":"!a:b","unsigned":{"n":1,"n":"\ud800"}}`, "!a:b", "", true, ""},
		{`{"content":{"room_version":"12"}}`, "", "12", true, ""},
		{`{"content":{"room_version":"11"},"event_id":"x"}`, "", "", false, ""},
		{`{"content":{"room_version":"12"},"room_id":"a"}`, "", "", false, ""},
		{`{"room_id":"!a:b","room_id":"!a:b"}`, "", "", false, ""},
		{`["room_id","!a:b"]`, "", "", false, ""},
		{`{"room_id":"!a:b"`, "", "", false, ""},
	} {
		wire := []byte(tt.wire)
		room, version, ok := event.Peek(wire)
		id := event.PeekID(wire)
		clear(wire) // what was read does not share its memory
		if ok != tt.ok || ok && room != tt.room || id != tt.id || ok && tt.version != "" && version.ID != tt.version {
			t.Errorf("%s: room %q, %v, %v, id %q", tt.wire, room, version, ok, id)
		}
	}
}
