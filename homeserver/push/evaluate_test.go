// SPDX-License-Identifier: Apache-2.0

package push

import (
	"encoding/json"
	"testing"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// TestDefaultRules holds the predefined rules and their conditions against the Client-Server API, "Predefined Rules" and "Conditions
// for push rules".
func TestDefaultRules(t *testing.T) {
	const quiet, tells, highlights = 0, 1, 2
	for name, c := range map[string]struct {
		event   string
		members int
		may     bool // the sender may notify the room
		want    int
	}{
		"a message":                        {`{"type":"m.room.message","content":{"msgtype":"m.text","body":"hi"}}`, 3, false, tells},
		"an encrypted message":             {`{"type":"m.room.encrypted","content":{}}`, 3, false, tells},
		"some other event":                 {`{"type":"org.test","content":{}}`, 3, false, quiet},
		"a notice":                         {`{"type":"m.room.message","content":{"msgtype":"m.notice","body":"alice"}}`, 3, false, quiet},
		"an invitation of mine":            {`{"type":"m.room.member","state_key":"@alice:a.example","content":{"membership":"invite"}}`, 3, false, tells},
		"an invitation of another":         {`{"type":"m.room.member","state_key":"@bob:a.example","content":{"membership":"invite"}}`, 3, false, quiet},
		"a join":                           {`{"type":"m.room.member","state_key":"@alice:a.example","content":{"membership":"join"}}`, 3, false, quiet},
		"my localpart":                     {`{"type":"m.room.message","content":{"body":"hello Alice!"}}`, 3, false, highlights},
		"my localpart within a word":       {`{"type":"m.room.message","content":{"body":"malice"}}`, 3, false, tells},
		"my name":                          {`{"type":"m.room.message","content":{"body":"ask the Queen of Hearts, please"}}`, 3, false, highlights},
		"my name in an event of mentions":  {`{"type":"m.room.message","content":{"body":"alice","m.mentions":{}}}`, 3, false, tells},
		"a mention":                        {`{"type":"m.room.message","content":{"body":"x","m.mentions":{"user_ids":["@bob:a.example","@alice:a.example"]}}}`, 3, false, highlights},
		"a mention that is no list":        {`{"type":"m.room.message","content":{"body":"x","m.mentions":{"user_ids":"@alice:a.example"}}}`, 3, false, tells},
		"a mention of another":             {`{"type":"m.room.message","content":{"body":"x","m.mentions":{"user_ids":["@bob:a.example"]}}}`, 3, false, tells},
		"the room, allowed":                {`{"type":"m.room.message","content":{"body":"x","m.mentions":{"room":true}}}`, 3, true, highlights},
		"the room, not allowed":            {`{"type":"m.room.message","content":{"body":"x","m.mentions":{"room":true}}}`, 3, false, tells},
		"the room by a word":               {`{"type":"m.room.message","content":{"body":"hey @room wake up"}}`, 3, true, highlights},
		"a tombstone":                      {`{"type":"m.room.tombstone","state_key":"","content":{}}`, 3, false, highlights},
		"a tombstone that is no state":     {`{"type":"m.room.tombstone","content":{}}`, 3, false, quiet},
		"a reaction":                       {`{"type":"m.reaction","content":{}}`, 3, false, quiet},
		"an edit":                          {`{"type":"m.room.message","content":{"body":"* hi","m.relates_to":{"rel_type":"m.replace"}}}`, 3, false, quiet},
		"an edit that mentions":            {`{"type":"m.room.message","content":{"body":"* hi","m.relates_to":{"rel_type":"m.replace"},"m.mentions":{"user_ids":["@alice:a.example"]}}}`, 3, false, highlights},
		"a server access control list":     {`{"type":"m.room.server_acl","state_key":"","content":{}}`, 3, false, quiet},
		"a call":                           {`{"type":"m.call.invite","content":{}}`, 3, false, tells},
		"content of types that are no use": {`{"type":"m.room.message","content":{"body":7,"msgtype":[],"m.mentions":4}}`, 3, false, tells},
	} {
		t.Run(name, func(t *testing.T) {
			event, err := canonicaljson.Parse([]byte(c.event), canonicaljson.Lenient)
			if err != nil {
				t.Fatal(err)
			}
			got := Changes{}.Rules("@alice:a.example").Evaluate(Subject{
				Event: event, Room: "!r:a.example", Sender: "@carol:b.example", Members: c.members,
				MayNotify: func(string) bool { return c.may },
			}, "Queen of Hearts")
			if got.Notify != (c.want >= tells) || got.Highlight != (c.want == highlights) {
				t.Errorf("notify %v, highlight %v; want %d", got.Notify, got.Highlight, c.want)
			}
		})
	}
}

func TestOneToOneSounds(t *testing.T) {
	event, err := canonicaljson.Parse([]byte(`{"type":"m.room.message","content":{"body":"hi"}}`), canonicaljson.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	for members, sounds := range map[int]bool{1: false, 2: true, 3: false} {
		got := Changes{}.Rules("@alice:a.example").Evaluate(Subject{Event: event, Members: members}, "")
		if len(got.Actions) != map[bool]int{false: 1, true: 2}[sounds] {
			t.Errorf("%d members: actions %s", members, got.Actions)
		}
	}
}

func TestOwnRulesComeFirst(t *testing.T) {
	var changes Changes
	changes.put(KindRoom, Rule{ID: "!r:a.example", Enabled: true, Actions: []json.RawMessage{}}, "", "")
	event, err := canonicaljson.Parse([]byte(`{"type":"m.room.message","content":{"body":"hi"}}`), canonicaljson.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	subject := Subject{Event: event, Room: "!r:a.example", Members: 3}
	if changes.Rules("@alice:a.example").Evaluate(subject, "").Notify {
		t.Error("a muted room notifies")
	}
	changes.enable(KindRoom, "!r:a.example", false)
	if !changes.Rules("@alice:a.example").Evaluate(subject, "").Notify {
		t.Error("a rule that is switched off counts")
	}
	changes.enable(KindOverride, ".m.rule.master", true)
	if changes.Rules("@alice:a.example").Evaluate(subject, "").Notify {
		t.Error("the master rule does not count")
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		glob, text  string
		whole, word bool
	}{
		{"lunc?*", "lunches", true, true},
		{"lunc?*", "LUNCH", true, true},
		{"lunc?*", " lunch", false, true},
		{"lunc?*", "lunc", false, false},
		{"ex", "ex", true, true},
		{"ex", "ex.", false, true},
		{"ex", "example", false, false},
		{"ex", "übex ex", false, true},
		{"a.c", "abc", false, false},
		{"*", "", true, true},
		{"", "", true, false},
		{"cake*lie", "the cake is a lie", false, true},
	} {
		if got := matchesWhole(c.glob, c.text); got != c.whole {
			t.Errorf("%q all of %q: %v", c.glob, c.text, got)
		}
		if got := matchesWord(c.glob, c.text); got != c.word {
			t.Errorf("%q in %q: %v", c.glob, c.text, got)
		}
	}
}

func TestMemberCounts(t *testing.T) {
	for is, want := range map[string]bool{"2": true, "==2": true, "<3": true, ">1": true, ">=2": true, "<=2": true, "<2": false, "=2": false, "": false, "x": false, ">=": false} {
		if compares(2, is) != want {
			t.Errorf("2 is %q: %v", is, !want)
		}
	}
}
