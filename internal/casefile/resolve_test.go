// SPDX-License-Identifier: Apache-2.0

package casefile_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/internal/casefile"
	"github.com/strata-matrix/strata/transport/ident"
)

// judgedRoom is a file with what Synapse resolves it to.
type judgedRoom struct {
	File json.RawMessage
	Want []casefile.Slot
}

func judgedRooms(tb testing.TB) (rooms []judgedRoom) {
	tb.Helper()
	file, err := os.Open("testdata/rooms.jsonl.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var room judgedRoom
		if err := json.Unmarshal(lines.Bytes(), &room); err != nil {
			tb.Fatal(err)
		}
		rooms = append(rooms, room)
	}
	return rooms
}

// Files resolve to what Synapse makes of them, event ids included (P-12, P-70).
func TestResolveLikeTheJudge(t *testing.T) {
	count := map[string]int{}
	for i, room := range judgedRooms(t) {
		got, err := casefile.Resolve(room.File, true)
		if err != nil {
			t.Fatalf("room %d: %v", i, err)
		}
		count[got.RoomVersion]++
		if diff := cmp.Diff(room.Want, got.Resolved); diff != "" {
			t.Errorf("room %d, version %s (-judge +got):\n%s", i, got.RoomVersion, diff)
		}
		if len(got.Redacted) != 0 {
			t.Errorf("room %d: the content hashes of %s are Synapse's and count as wrong", i, got.Redacted)
		}
	}
	for _, version := range []string{"1", "2", "6", "10", "12"} {
		if count[version] == 0 {
			t.Errorf("no room of version %s", version)
		}
	}
}

// pdu is an event of the little room below.
func pdu(id, typ, key, content string, auth ...string) string {
	refs := []string{}
	for _, a := range auth {
		refs = append(refs, fmt.Sprintf(`["$%s:a",{}]`, a))
	}
	return fmt.Sprintf(`{"event_id":"$%s:a","type":%q,"state_key":%q,"content":%s,"auth_events":[%s],"sender":"@a:a",
		"room_id":"!r:a","depth":1,"origin_server_ts":1,"prev_events":[]}`, id, typ, key, content, strings.Join(refs, ","))
}

// littleRoom has two topics. @a:a made it, so its member event and either topic are allowed.
func littleRoom() []string {
	return []string{
		pdu("c", "m.room.create", "", `{"creator":"@a:a"}`),
		pdu("m", "m.room.member", "@a:a", `{"membership":"join"}`, "c"),
		pdu("t", "m.room.topic", "", `{"topic":"t"}`, "c", "m"),
		pdu("u", "m.room.topic", "", `{"topic":"u"}`, "c", "m"),
	}
}

func roomFile(version, events, sets, more string) []byte {
	return fmt.Appendf(nil, `{"room_version":%q,"events":[%s],"state_sets":%s%s}`, version, events, sets, more)
}

// The two topics have no power levels to order them by, and the same time: the greater id comes last and stays (P-75). In
// version 1 the event of the highest depth stays, and of equals the one whose id has the smallest SHA-1 (P-71):
// sha1("$t:a") = 1db6…, sha1("$u:a") = 197d….
func TestResolveLittleRoom(t *testing.T) {
	room := strings.Join(littleRoom(), ",")
	const sets = `[["$c:a","$m:a","$t:a"],["$u:a","$m:a","$c:a","$u:a"]]`
	for version, topic := range map[string]string{"1": "$u:a", "2": "$u:a"} {
		got, err := casefile.Resolve(roomFile(version, room, sets, `,"rejected":["$t:a"]`), true)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(map[string]any{"room_version": version, "resolved": []any{
			map[string]any{"type": "m.room.create", "state_key": "", "event_id": "$c:a"},
			map[string]any{"type": "m.room.member", "state_key": "@a:a", "event_id": "$m:a"},
			map[string]any{"type": "m.room.topic", "state_key": "", "event_id": topic},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got.Trace.Conflicted); n != 1 {
			t.Errorf("version %s: %d conflicts, want the topic only", version, n)
		}
		got.Trace = nil
		printed, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(printed, &a) != nil || json.Unmarshal(want, &b) != nil || !cmp.Equal(a, b) {
			t.Errorf("version %s:\n got %s\nwant %s", version, printed, want)
		}
	}
}

// The trace of the little room, by the definitions of rooms/v2: no power event conflicts, so there is no mainline.
func TestTraceOfLittleRoom(t *testing.T) {
	got, err := casefile.Resolve(roomFile("2", strings.Join(littleRoom(), ","), `[["$c:a","$m:a","$t:a"],["$c:a","$m:a","$u:a"],["$c:a","$m:a"]]`, ""), true)
	if err != nil {
		t.Fatal(err)
	}
	topics := []casefile.Slot{{Type: "m.room.topic", EventID: "$t:a"}, {Type: "m.room.topic", EventID: "$u:a"}}
	want := &casefile.Trace{
		Conflicted:     []casefile.Conflict{{Type: "m.room.topic", BySet: []ident.EventID{"$t:a", "$u:a", ""}}},
		AuthDifference: []casefile.Slot{}, Subgraph: []casefile.Slot{}, PowerOrder: []casefile.Slot{}, Mainline: []casefile.Slot{},
		MainlineOrder: topics,
	}
	for i, c := range got.Trace.Checks {
		if !c.OK || c.Rule == "" || c.Detail == "" || c.Slot != topics[i] {
			t.Errorf("check %d is %+v, want one of %s that passes", i, c, topics[i].EventID)
		}
	}
	want.Checks = got.Trace.Checks
	if diff := cmp.Diff(want, got.Trace); diff != "" || len(want.Checks) != 2 {
		t.Errorf("%d checks, trace (-want +got):\n%s", len(want.Checks), diff)
	}
}

func TestFaultsOfRoomFiles(t *testing.T) {
	room := littleRoom()
	all := strings.Join(room, ",")
	const sets = `[["$c:a","$m:a","$t:a"],["$c:a","$m:a","$u:a"]]`
	message := strings.Replace(pdu("x", "m.room.message", "", `{}`, "c", "m"), `"state_key":"",`, "", 1)
	elsewhere := strings.ReplaceAll(room[3], "!r:a", "!s:a")
	for _, tt := range []struct{ name, file, want string }{
		{"not JSON", "{\n\n\"room_version\":}", "line 3"},
		{"not an object", `[]`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"unknown member", string(roomFile("2", all, sets, `,"reject":[]`)), `"reject" is not known`},
		{"missing member", `{"room_version":"2","events":[]}`, `"state_sets" is missing`},
		{"names count exactly", `{"room_version":"2","Events":[],"state_sets":[]}`, `"Events" is not known`},
		{"version of another type", `{"room_version":2,"events":[],"state_sets":[]}`, "room_version is not a string"},
		{"unknown version", `{"room_version":"99","events":[],"state_sets":[]}`, `"99" is not known`},
		{"events of another type", `{"room_version":"2","events":{},"state_sets":[]}`, "events is not an array of events"},
		{"sets of another type", `{"room_version":"2","events":[],"state_sets":["$c:a"]}`, "state_sets is not an array of arrays"},
		{"null sets", `{"room_version":"2","events":[],"state_sets":null}`, "state_sets is not an array of arrays"},
		{"null set", string(roomFile("2", all, `[["$c:a"],null]`, "")), "state_sets[1] is not an array of event ids"},
		{"a member twice", string(roomFile("2", all, sets, `,"state_sets":[["$c:a"]]`)), `"state_sets" is there twice`},
		{"rejected of another type", string(roomFile("2", all, sets, `,"rejected":"$c:a"`)), "rejected is not an array"},
		{"no sets", string(roomFile("2", all, `[]`, "")), "none of the state_sets has an m.room.create"},
		{"malformed event", string(roomFile("2", all+`,{"type":1}`, sets, "")), "events[4]: malformed event"},
		{"event without an id", string(roomFile("2", strings.Replace(all, `"event_id":"$m:a",`, "", 1), sets, "")), "events[1]: malformed event: event_id"},
		{"one id for two", string(roomFile("2", all+","+strings.Replace(room[2], `"t"`, `"v"`, 1), sets, "")), "events[4]: $t:a is events[2] already"},
		{"another room", string(roomFile("2", room[0]+","+elsewhere, `[["$c:a"]]`, "")), "events[1]: $u:a is of room !s:a, events[0] is of !r:a"},
		{"unknown in a set", string(roomFile("2", all, `[["$c:a"],["$c:a","$no:a"]]`, "")), "state_sets[1][1]: no event has the id $no:a"},
		{"unknown rejected", string(roomFile("2", all, sets, `,"rejected":["$no:a"]`)), "rejected[0]: no event has the id $no:a"},
		{"two for a slot", string(roomFile("2", all, `[["$c:a","$t:a","$u:a"]]`, "")), `state_sets[0] holds two events for (m.room.topic, ""): $t:a and $u:a`},
		{"no state event", string(roomFile("2", all+","+message, `[["$c:a","$x:a"]]`, "")), "state_sets[0] holds $x:a, which is no state event"},
		{"gap in a chain", string(roomFile("2", room[0]+","+room[2], `[["$c:a","$t:a"]]`, "")), "events[1]: auth_events of $t:a: no event has the id $m:a"},
		{"loop of two", string(roomFile("2", room[0]+","+pdu("x", "m.room.topic", "", `{}`, "c", "y")+","+pdu("y", "m.room.name", "", `{}`, "x"),
			`[["$c:a","$x:a"]]`, "")), "the auth events of $x:a go round in a loop"},
		{"loop of one", string(roomFile("1", room[0]+","+pdu("x", "m.room.topic", "", `{}`, "x"), `[["$c:a","$x:a"]]`, "")), "the auth events of $x:a go round in a loop"},
		{"an id that is not computed", string(roomFile("11", strings.ReplaceAll(room[0], `"$c:a"`, `"$made:up"`), `[["$made:up"]]`, "")),
			"events[0] says so in event_id, which room version 11 does not have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := casefile.Resolve([]byte(tt.file), false)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, error %v, want %q", r, err, tt.want)
			}
		})
	}
}

// Room version 12 names the create event in room_id only: it must be there all the same.
func TestRoomIDCallsForItsCreateEvent(t *testing.T) {
	for _, room := range judgedRooms(t) {
		var file map[string]json.RawMessage
		var events []json.RawMessage
		if json.Unmarshal(room.File, &file) != nil || json.Unmarshal(file["events"], &events) != nil {
			t.Fatal("no room")
		}
		if string(file["room_version"]) != `"12"` {
			continue
		}
		file["events"], _ = json.Marshal(events[1:])
		file["state_sets"] = json.RawMessage(`[[]]`)
		without, _ := json.Marshal(file)
		if _, err := casefile.Resolve(without, false); err == nil {
			t.Error("a room of version 12 was resolved without its create event")
		}
		return
	}
	t.Error("no room of version 12")
}

// An event whose content is not what was hashed takes part as its redacted copy, under the same id (P-15), and that is told. A
// stray event_id is no part of an event whose id is computed (P-13).
func TestRedactedAndStrays(t *testing.T) {
	for _, room := range judgedRooms(t) {
		var file map[string]json.RawMessage
		var events []map[string]any
		if json.Unmarshal(room.File, &file) != nil || json.Unmarshal(file["events"], &events) != nil {
			t.Fatal("no room")
		}
		if string(file["room_version"]) != `"10"` {
			continue
		}
		events[1]["content"].(map[string]any)["displayname"] = "not hashed" // redaction takes it away: the id stays
		events[2]["event_id"], events[2]["unsigned"] = "$stray", map[string]any{"age": 1}
		file["events"], _ = json.Marshal(events)
		changed, _ := json.Marshal(file)
		got, err := casefile.Resolve(changed, false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(room.Want, got.Resolved); diff != "" {
			t.Errorf("(-judge +got):\n%s", diff)
		}
		if len(got.Redacted) != 1 {
			t.Errorf("redacted %s, want the second event of the file", got.Redacted)
		}
		return
	}
	t.Error("no room of version 10")
}

func TestFilesAreBounded(t *testing.T) {
	if _, err := casefile.Resolve(make([]byte, casefile.MaxSize+1), false); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got error %v, want one about the size", err)
	}
}

// FuzzResolve: no file makes the reading panic, and what is resolved is a state of events of the file.
func FuzzResolve(f *testing.F) {
	f.Add(roomFile("2", strings.Join(littleRoom(), ","), `[["$c:a","$m:a","$t:a"],["$c:a","$m:a","$u:a"]]`, `,"rejected":[]`))
	seen := map[string]bool{}
	for _, room := range judgedRooms(f) {
		if version := string(room.File[:30]); !seen[version] {
			seen[version] = true
			f.Add([]byte(room.File))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := casefile.Resolve(file, true)
		if err != nil {
			return
		}
		for i, s := range r.Resolved {
			if s.EventID == "" || i > 0 && (s.Type < r.Resolved[i-1].Type || s.Type == r.Resolved[i-1].Type && s.StateKey <= r.Resolved[i-1].StateKey) {
				t.Errorf("%d: %+v is not in order", i, s)
			}
		}
	})
}

// The conflicts of a trace name an event for each slot and state set, so that a small file could make a huge one.
func TestTooMuchToTrace(t *testing.T) {
	events := littleRoom()
	var lists []string
	for i := range 2_600 {
		id := fmt.Sprintf("n%d", i)
		events = append(events, pdu(id, "m.room.topic", id, `{}`, "c", "m"))
		lists = append(lists, fmt.Sprintf(`["$c:a","$m:a","$%s:a"]`, id))
	}
	file := roomFile("2", strings.Join(events, ","), "["+strings.Join(lists, ",")+"]", "")
	if _, err := casefile.Resolve(file, false); err != nil {
		t.Errorf("without a trace: %v", err)
	}
	if _, err := casefile.Resolve(file, true); err == nil || !strings.Contains(err.Error(), "too much to trace") {
		t.Errorf("with a trace: %v", err)
	}
}
