// SPDX-License-Identifier: Apache-2.0

package casefile_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/internal/casefile"
	"github.com/strata-matrix/strata/transport/ident"
)

// checkCase is a file that Synapse made: @b:b.org says hello in a room of @a:a.org, properly signed and hashed.
type checkCase struct {
	File    map[string]any
	EventID ident.EventID `json:"event_id"`
	RoomID  ident.RoomID  `json:"room_id"`
	Ban     any           // @a:a.org bans @b:b.org
}

func (c *checkCase) event() map[string]any { return c.File["event"].(map[string]any) }

// banned is the state with @b:b.org banned.
func (c *checkCase) banned() []any {
	state := append([]any{}, c.File["state"].([]any)...)
	state[4] = c.Ban
	return state
}

func (c *checkCase) file(tb testing.TB) []byte {
	tb.Helper()
	file, err := json.Marshal(c.File)
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

func checkCases(tb testing.TB) (cases []*checkCase) {
	tb.Helper()
	raw, err := os.ReadFile("testdata/checks.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c := new(checkCase)
		if err := json.Unmarshal(lines.Bytes(), c); err != nil {
			tb.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}

// marks is a verdict in short: each check with + for passed, - for failed, ? for not made; the failed ones with their rules.
func marks(v *casefile.Verdict) string {
	words := []string{v.Verdict}
	for _, c := range v.Checks {
		switch {
		case c.OK == nil:
			words = append(words, c.ID+"?")
		case *c.OK:
			words = append(words, c.ID+"+")
		default:
			words = append(words, c.ID+"-"+c.Rule)
		}
	}
	return strings.Join(words, " ")
}

// The good event of each room version with one thing changed, and what the checks on receipt then say (P-25 to P-30).
func TestCheckEvent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*checkCase)
		want   string
	}{
		{"good", func(*checkCase) {}, "accepted P-25+ P-26+ P-26+ P-27+ P-28+ P-29+ P-30?"},
		{"no current state", func(c *checkCase) { delete(c.File, "current_state") }, "accepted P-25+ P-26+ P-26+ P-27+ P-28+ P-29? P-30?"},
		{"no keys", func(c *checkCase) {
			delete(c.File, "keys")
			c.event()["signatures"] = map[string]any{}
		}, "accepted P-25+ P-26? P-26+ P-27+ P-28+ P-29+ P-30?"},
		{"malformed", func(c *checkCase) { delete(c.event(), "depth") }, "dropped P-25-P-05 P-26? P-26? P-27? P-28? P-29? P-30?"},
		{"not signed", func(c *checkCase) { c.event()["signatures"] = map[string]any{} }, "dropped P-25+ P-26-P-15 P-26? P-27? P-28? P-29? P-30?"},
		{"unknown key", func(c *checkCase) {
			c.File["keys"].(map[string]any)["b.org"] = map[string]any{}
		}, "dropped P-25+ P-26-P-15 P-26? P-27? P-28? P-29? P-30?"},
		{"key of another", func(c *checkCase) {
			keys := c.File["keys"].(map[string]any)
			keys["b.org"] = keys["a.org"]
		}, "dropped P-25+ P-26-P-15 P-26? P-27? P-28? P-29? P-30?"},
		{"a field that is signed is changed", func(c *checkCase) { c.event()["depth"] = 7 }, "dropped P-25+ P-26-P-15 P-26? P-27? P-28? P-29? P-30?"},
		// Redaction takes body away, so the signature is still good: the redacted copy goes on (P-14, P-15).
		{"content changed", func(c *checkCase) {
			c.event()["content"].(map[string]any)["body"] = "Bye"
		}, "redacted P-25+ P-26+ P-26-P-15 P-27+ P-28+ P-29+ P-30?"},
		{"banned before", func(c *checkCase) { c.File["state"] = c.banned() }, "rejected P-25+ P-26+ P-26+ P-27+ P-28-P-51 P-29? P-30?"},
		{"banned by now", func(c *checkCase) { c.File["current_state"] = c.banned() }, "soft_failed P-25+ P-26+ P-26+ P-27+ P-28+ P-29-P-51 P-30?"},
		{"changed and banned by now", func(c *checkCase) {
			c.event()["content"].(map[string]any)["body"] = "Bye"
			c.File["current_state"] = c.banned()
		}, "soft_failed P-25+ P-26+ P-26-P-15 P-27+ P-28+ P-29-P-51 P-30?"},
		{"auth events only in state", func(c *checkCase) { c.File["auth_events"] = []any{} }, "accepted P-25+ P-26+ P-26+ P-27+ P-28+ P-29+ P-30?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range checkCases(t) {
				tt.change(c)
				v, err := casefile.CheckEvent(c.file(t))
				if err != nil {
					t.Fatal(err)
				}
				if got := marks(v); got != tt.want {
					t.Errorf("version %s:\n got %s\nwant %s\n%+v", c.File["room_version"], got, tt.want, v.Checks)
				}
				if v.RoomID != c.RoomID {
					t.Errorf("version %s: room %s, want %s", c.File["room_version"], v.RoomID, c.RoomID)
				}
				computed := c.File["room_version"] != "1" && c.File["room_version"] != "2"
				if same := v.EventID == c.EventID; !same && tt.name != "malformed" && !(computed && strings.HasPrefix(tt.name, "a field")) {
					t.Errorf("version %s: id %s, want %s", c.File["room_version"], v.EventID, c.EventID)
				}
			}
		})
	}
}

// An event that lists one for which it has no use is rejected by its auth events (P-41), whoever it is from.
func TestCheckEventAuthEvents(t *testing.T) {
	for _, c := range checkCases(t) {
		delete(c.File, "keys")
		state := c.File["state"].([]any)
		list := c.event()["auth_events"].([]any)
		// The ban of @b:b.org lists the member event of @a:a.org, which a message of @b:b.org must not.
		var stranger any
		for _, ref := range c.Ban.(map[string]any)["auth_events"].([]any) {
			known := false
			for _, have := range list {
				known = known || cmp.Equal(have, ref)
			}
			if !known {
				stranger = ref
			}
		}
		c.event()["auth_events"] = append(append([]any{}, list...), stranger)
		c.File["auth_events"] = state
		v, err := casefile.CheckEvent(c.file(t))
		if err != nil {
			t.Fatal(err)
		}
		// auth_events are hashed, so the content hash is wrong as well.
		if got, want := marks(v), "rejected P-25+ P-26? P-26-P-15 P-27-P-41 P-28? P-29? P-30?"; got != want {
			t.Errorf("version %s:\n got %s\nwant %s", c.File["room_version"], got, want)
		}
		if d, ok := v.Decisive(); !ok || d.ID != "P-27" {
			t.Errorf("version %s: %+v decided, want P-27", c.File["room_version"], d)
		}
	}
}

// A create event rests on nothing (P-40).
func TestCheckCreateEvent(t *testing.T) {
	for _, c := range checkCases(t) {
		c.File["event"] = c.File["state"].([]any)[0]
		c.File["auth_events"], c.File["state"] = []any{}, []any{}
		delete(c.File, "current_state")
		v, err := casefile.CheckEvent(c.file(t))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := marks(v), "accepted P-25+ P-26+ P-26+ P-27+ P-28+ P-29? P-30?"; got != want || v.RoomID != c.RoomID {
			t.Errorf("version %s: room %s, want %s;\n got %s\nwant %s", c.File["room_version"], v.RoomID, c.RoomID, got, want)
		}
	}
}

func TestFaultsOfCheckFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*checkCase)
		want   string
	}{
		{"no event", func(c *checkCase) { delete(c.File, "event") }, `"event" is missing`},
		{"event is no object", func(c *checkCase) { c.File["event"] = "$a" }, "event is not an object"},
		{"unknown member", func(c *checkCase) { c.File["states"] = 1 }, `"states" is not known`},
		{"malformed state", func(c *checkCase) { c.File["state"] = []any{1} }, "state[0]: malformed event"},
		{"auth events are gone", func(c *checkCase) {
			c.File["auth_events"], c.File["state"] = []any{}, []any{}
			delete(c.File, "current_state")
		}, "neither in auth_events nor in state"},
		{"two for a slot", func(c *checkCase) { c.File["state"] = append(c.banned(), c.File["state"].([]any)[4]) }, "state holds two events for (m.room.member, \"@b:b.org\")"},
		{"no state event", func(c *checkCase) { c.File["current_state"] = []any{c.event()} }, "current_state holds"},
		{"current state of another room", func(c *checkCase) {
			c.File["current_state"] = []any{map[string]any{
				"type": "m.room.topic", "state_key": "", "sender": "@a:a.org", "room_id": "!A" + c.RoomID[2:], "event_id": "$topic:a.org",
				"depth": 7, "origin_server_ts": 1006, "prev_events": []any{}, "auth_events": []any{}, "content": map[string]any{},
			}}
		}, "current_state is of room !A"},
		{"keys of no server", func(c *checkCase) { c.File["keys"] = map[string]any{"b org": map[string]any{}} }, "keys: "},
		{"no key id", func(c *checkCase) { c.File["keys"] = map[string]any{"b.org": map[string]any{"k": "AAAA"}} }, "keys of b.org: "},
		{"short key", func(c *checkCase) {
			c.File["keys"] = map[string]any{"b.org": map[string]any{"ed25519:k": "AAAA"}}
		}, "keys of b.org: ed25519:k has 3 bytes, not 32"},
		{"keys of another type", func(c *checkCase) { c.File["keys"] = []any{} }, "keys is not an object of objects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range checkCases(t) {
				tt.change(c)
				v, err := casefile.CheckEvent(c.file(t))
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("version %s: %v, error %v, want %q", c.File["room_version"], v, err, tt.want)
				}
			}
		})
	}
}

// A duplicate key makes an event malformed, not the file: the verdict is what a server would say.
func TestDuplicateKeyInEventIsDropped(t *testing.T) {
	for _, c := range checkCases(t) {
		file := bytes.Replace(c.file(t), []byte(`"body":"Hello"`), []byte(`"body":"Hello","body":"Hello"`), 1)
		v, err := casefile.CheckEvent(file)
		if err != nil || v.Verdict != casefile.Dropped || v.RoomID != c.RoomID {
			t.Errorf("version %s: %+v, %v, want it dropped", c.File["room_version"], v, err)
		}
	}
}

// FuzzCheckEvent: no file makes the judging panic; the checks are all listed, and the verdict follows from them.
func FuzzCheckEvent(f *testing.F) {
	for _, c := range checkCases(f) {
		f.Add(c.file(f))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		v, err := casefile.CheckEvent(file)
		if err != nil {
			return
		}
		failed := false
		for _, c := range v.Checks {
			failed = failed || c.OK != nil && !*c.OK
		}
		if _, decided := v.Decisive(); len(v.Checks) != 7 || failed != (v.Verdict != casefile.Accepted) || decided != failed {
			t.Errorf("%+v of %s", v, file)
		}
	})
}
