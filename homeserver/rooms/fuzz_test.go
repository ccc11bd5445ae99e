// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"encoding/json"
	"testing"

	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu/event"
)

// FuzzTokens: what is taken as a token is one that these endpoints give out, and reads as it was written.
func FuzzTokens(f *testing.F) {
	for _, token := range []string{"", "f1", "b-3", "f", "2_-1_true", "0_0_false", "1_1", "t1.2", "t1.2.3", "t1.2.3.4", "7", "t.", "x"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _, _ = parsePlace(text)
		if token, err := parseHierarchyToken(text); err == nil && token.String() != text {
			t.Errorf("%q reads as %q", text, token)
		}
		token, err := roomview.ParseToken(text)
		if err != nil {
			return
		}
		if again, err := roomview.ParseToken(token.String()); err != nil || again != token {
			t.Errorf("%q is %+v, which is written %q and read as %+v, %v", text, token, token, again, err)
		}
	})
}

// FuzzPlanRoom: whatever a client wants of a new room, the plan's contents are objects of canonical JSON, or it is refused.
func FuzzPlanRoom(f *testing.F) {
	for _, body := range []string{
		`{}`, `{"preset":"trusted_private_chat","creation_content":{"additional_creators":["@a:b"]}}`,
		`{"initial_state":[{"type":"m.room.join_rules","state_key":"","content":{}}],"power_level_content_override":{"users":null}}`,
		`{"name":"n","topic":"t","initial_state":[{"type":"x","content":1.5}]}`,
	} {
		f.Add(body, true)
	}
	f.Fuzz(func(t *testing.T, body string, newest bool) {
		var w wanted
		if json.Unmarshal([]byte(body), &w) != nil || w.check() != nil {
			return
		}
		version, _ := event.VersionOf(map[bool]string{false: "9", true: "12"}[newest])
		p, err := planRoom(w, version, "@alice:a.example", nil, "#r:a.example")
		if err != nil {
			return
		}
		drafts, err := p.drafts("@alice:a.example", map[string]any{"membership": "join"})
		if err != nil {
			return
		}
		for _, d := range drafts {
			if !json.Valid(d.Content) || d.Content[0] != '{' || d.StateKey == nil {
				t.Errorf("%s: %s", d.Type, d.Content)
			}
		}
	})
}
