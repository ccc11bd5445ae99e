// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
)

var allVersions = event.Versions()

// TestWellFormed shows that the samples that the other tests break are accepted, with their fields.
func TestWellFormed(t *testing.T) {
	for _, id := range allVersions {
		v := version(t, id)
		e, err := event.Parse(v, naive(sample(v, "m.room.topic", "k", `{"topic":"x"}`)))
		if err != nil {
			t.Errorf("version %s: %v", id, err)
			continue
		}
		key, isState := e.StateKey()
		if e.HashMismatch() || e.Type() != "m.room.topic" || key != "k" || !isState || e.Sender() != "@u:domain" ||
			e.Depth() != 3 || e.OriginServerTS() != 1000000 || len(e.PrevEvents()) != 1 || len(e.AuthEvents()) != 1 ||
			!e.Content().Get("topic").IsText("x") || !e.IsState(event.StateKey{Type: "m.room.topic", Key: "k"}) {
			t.Errorf("version %s: fields of %s are wrong", id, e.JSON())
		}
	}
}

// P-02, P-03, P-05, P-07, X-14: what makes bytes no event. Each case is one change to an event that is accepted.
func TestMalformed(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := []struct {
		name     string
		changes  object
		rule     string
		versions string // empty: all
	}{
		{"G-D2 no type", object{"type": nil}, "P-03", ""},
		{"G-D2 no origin_server_ts", object{"origin_server_ts": nil}, "P-03", ""},
		{"G-D2 negative depth", object{"depth": -1}, "P-05", ""},
		{"G-D2 no event_id", object{"event_id": nil}, "P-03", "1 2"},
		{"no sender", object{"sender": nil}, "P-03", ""},
		{"no content", object{"content": nil}, "P-03", ""},
		{"no depth", object{"depth": nil}, "P-05", ""},
		{"no hashes.sha256", object{"hashes": object{}}, "", ""},
		{"no signatures", object{"signatures": nil}, "P-03", ""},
		{"no prev_events", object{"prev_events": nil}, "P-03", ""},
		{"no auth_events", object{"auth_events": nil}, "P-03", ""},
		{"no room_id", object{"room_id": nil}, "P-03", ""},
		{"type is a number", object{"type": 1}, "P-03", ""},
		{"content is an array", object{"content": []int{}}, "P-03", ""},
		{"depth is a string", object{"depth": "3"}, "P-05", ""},
		{"origin_server_ts is a string", object{"origin_server_ts": "3"}, "P-03", ""},
		{"origin_server_ts is a float", object{"origin_server_ts": json.RawMessage("1.5")}, "P-03", "1 2 3 4 5"},
		{"signatures is an array", object{"signatures": []int{}}, "P-03", ""},
		{"state_key is null", object{"state_key": json.RawMessage("null")}, "P-07", ""},
		{"state_key is a number", object{"state_key": 1}, "P-07", ""},
		{"sender is no user id", object{"sender": "u:domain"}, "P-02", ""},
		{"G-D8 NUL in the sender", object{"sender": "@a\x00:domain"}, "P-02", ""},
		{"G-D4 long event_id", object{"event_id": "$" + long + ":domain"}, "P-02", "1 2"},
		{"event_id without domain", object{"event_id": "$abc"}, "P-03", "1 2"},
		{"long sender", object{"sender": "@" + long + ":domain"}, "P-02", ""},
		{"long room_id", object{"room_id": "!" + long + ":domain"}, "X-14", ""},
		{"long type", object{"type": long}, "P-02", ""},
		{"long state_key", object{"state_key": long}, "P-02", ""},
		{"G-D5 type of 128 code points, 256 bytes", object{"type": strings.Repeat("é", 128)}, "P-02", ""},
		{"G-D5 state_key of 128 code points, 256 bytes", object{"state_key": strings.Repeat("é", 128)}, "P-02", ""},
		{"G-C2 room_id !:", object{"room_id": "!:"}, "X-14", ""},
		{"G-C2 room_id !a:b c", object{"room_id": "!a:b c"}, "X-14", ""},
		{"G-C2 room_id !a:é", object{"room_id": "!a:é"}, "X-14", ""},
		{"G-C2 room_id !abc", object{"room_id": "!abc"}, "X-14", ""},
		{"G-C2 room_id !", object{"room_id": "!"}, "X-14", ""},
		{"room_id with a domain", object{"room_id": "!r:domain"}, "X-14", "12"},
		{"room_id without a domain", object{"room_id": hashRoom}, "X-14", "1 2 3 4 5 6 7 8 9 10 11"},
		{"P-05 depth beyond 2^63-1", object{"depth": json.RawMessage("9223372036854775808")}, "P-05", "1 2 3 4 5"},
		{"P-05 depth beyond 2^53-1", object{"depth": json.RawMessage("9007199254740992")}, "P-25", "6 7 8 9 10 11 12"},
		{"G-D1 5000 prev_events", object{"prev_events": 5000}, "P-04", "3 4 5 6 7 8 9 10 11 12"},
		{"G-D1 5000 auth_events", object{"auth_events": 5000}, "P-04", "3 4 5 6 7 8 9 10 11 12"},
		{"G-D1 5000 pairs, which are too many bytes already", object{"prev_events": 5000}, "P-01", "1 2"},
		{"21 prev_events", object{"prev_events": 21}, "P-04", ""},
		{"11 auth_events", object{"auth_events": 11}, "P-04", ""},
		{"prev_events hold ids", object{"prev_events": []string{"$a:b"}}, "P-03", "1 2"},
		{"prev_events hold a triple", object{"prev_events": [][]any{{"$a:b", object{}, 1}}}, "P-03", "1 2"},
		{"prev_events hold a lone id", object{"prev_events": [][]any{{"$a:b"}}}, "P-03", "1 2"},
		{"prev_events hold pairs", object{"prev_events": [][]any{{"$a:b", object{}}}}, "P-03", "3 4 12"},
		{"auth_events hold a number", object{"auth_events": []any{1}}, "P-03", ""},
		{"prev_events hold a room id", object{"prev_events": []string{"!a:b"}}, "P-02", "3 12"},
		{"G-J4 0.0", object{"content": json.RawMessage(`{"a":0.0}`)}, "P-25", "6 12"},
		{"G-J4 0e1", object{"content": json.RawMessage(`{"a":0e1}`)}, "P-25", "6 12"},
		{"G-J4 1E5", object{"content": json.RawMessage(`{"a":1E5}`)}, "P-25", "6 12"},
	}
	for _, tt := range tests {
		for _, id := range allVersions {
			if tt.versions != "" && !strings.Contains(" "+tt.versions+" ", " "+id+" ") {
				continue
			}
			v := version(t, id)
			changes := object{}
			for key, value := range tt.changes {
				if n, ok := value.(int); ok && strings.HasSuffix(key, "_events") {
					value = manyRefs(v, n)
				}
				changes[key] = value
			}
			broken := with(sample(v, "m.x", nil, `{}`), changes)
			if h, ok := tt.changes["hashes"]; ok {
				broken["hashes"] = h
				tt.rule = "P-03"
			}
			e, err := event.Parse(v, naive(broken))
			var format *event.FormatError
			if !errors.As(err, &format) || format.Rule != tt.rule {
				t.Errorf("%s, version %s: %v, %v, want a format error by %s", tt.name, id, e, err, tt.rule)
			}
		}
	}
}

func manyRefs(v *event.Version, n int) any {
	var refs []any
	for i := range n {
		if v.References == event.RefPairs {
			refs = append(refs, []any{fmt.Sprintf("$%d:x", i), object{"sha256": ""}})
		} else {
			refs = append(refs, fmt.Sprintf("$%d", i))
		}
	}
	return refs
}

// P-04: the limits do not hold for replies to /backfill, and what they allow is allowed.
func TestReferenceLimits(t *testing.T) {
	v := version(t, "10")
	full := with(sample(v, "m.x", nil, `{}`), object{"prev_events": manyRefs(v, 20), "auth_events": manyRefs(v, 10)})
	if e, err := event.Parse(v, naive(full)); err != nil || len(e.PrevEvents()) != 20 || len(e.AuthEvents()) != 10 {
		t.Errorf("20 and 10 references: %v", err)
	}
	old := with(sample(v, "m.x", nil, `{}`), object{"prev_events": manyRefs(v, 30), "auth_events": manyRefs(v, 15)})
	if e, err := event.ParseBackfilled(v, naive(old)); err != nil || len(e.PrevEvents()) != 30 || len(e.AuthEvents()) != 15 {
		t.Errorf("backfilled, 30 and 15 references: %v", err)
	}
}

// G-C1, G-J3, G-J5 and other bytes that are no event at all.
func TestNoObject(t *testing.T) {
	for _, id := range allVersions {
		for _, wire := range []string{"null", "", "[]", "1", `"x"`, "{", "{}", `{"type":"a","type":"b"}`, `{"type":"\ud83d"}`} {
			if e, err := event.Parse(version(t, id), []byte(wire)); err == nil {
				t.Errorf("version %s: %q became %s", id, wire, e.JSON())
			}
		}
	}
}

// P-01, G-D3: the size counts before redaction, and unsigned does not count.
func TestSize(t *testing.T) {
	v := version(t, "10")
	empty := len(naive(sample(v, "m.x", nil, `{"body":""}`)))
	exact := sample(v, "m.x", nil, fmt.Sprintf(`{"body":%q}`, strings.Repeat("x", event.MaxSize-empty)))
	if _, err := event.Parse(v, naive(exact)); err != nil {
		t.Errorf("an event of %d bytes: %v", len(naive(exact)), err)
	}
	exact["unsigned"] = object{"age": 1}
	if _, err := event.Parse(v, naive(exact)); err != nil {
		t.Errorf("with unsigned: %v", err)
	}
	over := sample(v, "m.x", nil, fmt.Sprintf(`{"body":%q}`, strings.Repeat("x", event.MaxSize-empty+1)))
	if _, err := event.Parse(v, naive(over)); !isRule(err, "P-01") {
		t.Errorf("one byte more: %v", err)
	}
	over["hashes"] = object{"sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"}
	if _, err := event.Parse(v, naive(over)); !isRule(err, "P-01") {
		t.Errorf("one byte more and a wrong hash: %v", err)
	}
}

func isRule(err error, rule string) bool {
	var format *event.FormatError
	return errors.As(err, &format) && format.Rule == rule
}

// P-09, P-13, P-19: unsigned goes, and so does event_id where it means nothing; neither touches the id.
func TestUnsignedAndStrayEventID(t *testing.T) {
	for _, id := range allVersions {
		v := version(t, id)
		clean := sample(v, "m.x", nil, `{"a":1}`)
		want, err := event.Parse(v, naive(clean))
		if err != nil {
			t.Fatal(err)
		}
		dirty := clone(clean)
		dirty["unsigned"] = object{"age": 5, "prev_content": object{"x": 1}}
		if v.EventIDFormat != event.IDField {
			dirty["event_id"] = "$stray:domain"
		}
		got, err := event.Parse(v, naive(dirty))
		if err != nil || got.ID() != want.ID() || string(got.JSON()) != string(want.JSON()) || got.HashMismatch() {
			t.Errorf("version %s: %s, %v, want %s", id, got.JSON(), err, want.JSON())
		}
	}
}

// P-19: any server on the way can write into unsigned, so nothing that it writes there, other than what is no JSON, spoils the event.
func TestUnsignedDoesNotMatter(t *testing.T) {
	for _, id := range allVersions {
		v := version(t, id)
		clean := string(naive(sample(v, "m.x", nil, `{"a":1}`)))
		want, err := event.Parse(v, []byte(clean))
		if err != nil {
			t.Fatal(err)
		}
		for _, unsigned := range []string{
			`{"age":1.5}`, `{"age":1e3}`, `{"age":-0}`, `{"age":9007199254740992}`, `{"age":1,"age":2}`, `{"x":"\ud83d"}`, `1.5`, `null`,
		} {
			for _, wire := range []string{
				`{"unsigned":` + unsigned + "," + clean[1:], clean[:len(clean)-1] + `,"uns\u0069gned": ` + unsigned + "}",
			} {
				got, err := event.Parse(v, []byte(wire))
				if err != nil || got.ID() != want.ID() || string(got.JSON()) != string(want.JSON()) || got.HashMismatch() {
					t.Errorf("version %s: unsigned %s: %v, %v, want %s", id, unsigned, got, err, want.JSON())
				}
			}
		}
		for _, unsigned := range []string{`{`, `{"age":1.}`, `{"age" 1}`, "\"\xff\""} {
			if _, err := event.Parse(v, []byte(`{"unsigned":`+unsigned+","+clean[1:])); !isRule(err, "P-25") {
				t.Errorf("version %s: unsigned %s: %v", id, unsigned, err)
			}
		}
	}
}

// G-J6, G-J7: keys that only resemble ours are not ours.
func TestExactKeys(t *testing.T) {
	v := version(t, "10")
	odd := with(sample(v, "m.room.member", "@u:domain", `{"membership":"join","MEMBERSHIP":"ban"}`),
		object{"ſender": "@evil:domain", "Type": "m.room.create"})
	e, err := event.Parse(v, naive(odd))
	if err != nil || e.Sender() != "@u:domain" || e.Type() != "m.room.member" {
		t.Fatalf("%v: sender %s, type %s", err, e.Sender(), e.Type())
	}
	if m, ok := e.Membership(); !ok || m.Membership != "join" {
		t.Errorf("membership %+v", m)
	}
}

// G-J1, G-J2: events whose keys need escapes are accepted and keep their meaning.
func TestEscapedKeys(t *testing.T) {
	v := version(t, "10")
	e, err := event.Parse(v, naive(sample(v, "m.x", nil, `{"a\"b":1,"a\nb":2,"x\":1,\"y":3}`)))
	if err != nil || e.HashMismatch() || e.Content().Len() != 3 || e.Content().Has("y") {
		t.Errorf("%v: content %s", err, e.Content().Canonical())
	}
}

// G-C6: a full-size event of nothing but brackets costs no more than its bytes.
func TestDeepContent(t *testing.T) {
	v := version(t, "10")
	const depth = 9000
	deep := strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
	wire := strings.Replace(string(naive(sample(v, "m.x", nil, `{}`))), `"content":{}`, `"content":`+deep, 1)
	start := time.Now()
	e, err := event.Parse(v, []byte(wire))
	if took := time.Since(start); err != nil || !e.HashMismatch() || took > 200*time.Millisecond {
		t.Errorf("nested %d deep: %v after %s", depth, err, took)
	}
}

// G-D8, X-13: historical user ids are senders like any other.
func TestHistoricalSender(t *testing.T) {
	v := version(t, "10")
	for _, sender := range []string{"@:domain", "@A Ω\x01:domain", "@a:domain:8448"} {
		e, err := event.Parse(v, naive(with(sample(v, "m.x", nil, `{}`), object{"sender": sender})))
		if err != nil || string(e.Sender()) != sender {
			t.Errorf("sender %q: %v", sender, err)
		}
	}
}
