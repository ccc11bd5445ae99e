// SPDX-License-Identifier: Apache-2.0

package casefile_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/internal/casefile"
)

var policyKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// names has one of the file's states name a policy server.
func (c *checkCase) names(state, via, key string) {
	named := map[string]any{
		"type": "m.room.policy", "state_key": "", "sender": "@a:a.org", "room_id": c.RoomID, "event_id": "$policy:a.org", "depth": 7,
		"origin_server_ts": 1006, "prev_events": []any{}, "auth_events": []any{},
		"content": map[string]any{"via": via, "public_keys": map[string]any{"ed25519": key}},
	}
	c.File[state] = append(append([]any{}, c.File[state].([]any)...), named)
}

// policySigned signs the event as a.org's policy server: what is signed is the event as redaction leaves it, and here that is all but
// the content (P-14, M-102). encoding/json sorts keys, and there is nothing else to make canonical.
func (c *checkCase) policySigned(t *testing.T) {
	t.Helper()
	message := map[string]any{}
	for key, value := range c.event() {
		if key != "signatures" && key != "unsigned" {
			message[key] = value
		}
	}
	message["content"] = map[string]any{}
	bare, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	signature := base64.RawStdEncoding.EncodeToString(ed25519.Sign(policyKey, bare))
	c.event()["signatures"].(map[string]any)["a.org"] = map[string]any{"ed25519:policy_server": signature}
}

// P-30, M-100 to M-104: the policy server that the current state names has to have signed.
func TestCheckPolicyServer(t *testing.T) {
	const before = "P-25+ P-26+ P-26+ P-27+ P-28+ P-29+ "
	key := base64.RawStdEncoding.EncodeToString(policyKey.Public().(ed25519.PublicKey))
	other := base64.RawStdEncoding.EncodeToString(make([]byte, ed25519.PublicKeySize))
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *checkCase)
		want   string
	}{
		{"signed", func(t *testing.T, c *checkCase) {
			c.names("current_state", "a.org", key)
			c.policySigned(t)
		}, "accepted " + before + "P-30+"},
		{"not signed", func(_ *testing.T, c *checkCase) { c.names("current_state", "a.org", key) }, "soft_failed " + before + "P-30-M-104"},
		{"signed with another key", func(t *testing.T, c *checkCase) {
			c.names("current_state", "a.org", other)
			c.policySigned(t)
		}, "soft_failed " + before + "P-30-M-104"},
		{"its server has nobody in the room", func(_ *testing.T, c *checkCase) {
			c.names("current_state", "c.org", key)
		}, "accepted " + before + "P-30?"},
		{"named without a key", func(_ *testing.T, c *checkCase) {
			c.names("current_state", "a.org", key)
			state := c.File["current_state"].([]any)
			state[len(state)-1].(map[string]any)["content"] = map[string]any{"via": "a.org"}
		}, "accepted " + before + "P-30?"},
		{"named no more", func(_ *testing.T, c *checkCase) { c.names("state", "a.org", key) }, "accepted " + before + "P-30?"},
		{"without a current state the one before counts", func(_ *testing.T, c *checkCase) {
			c.names("state", "a.org", key)
			delete(c.File, "current_state")
		}, "soft_failed P-25+ P-26+ P-26+ P-27+ P-28+ P-29? P-30-M-104"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range checkCases(t) {
				tt.change(t, c)
				v, err := casefile.CheckEvent(c.file(t))
				if err != nil {
					t.Fatal(err)
				}
				if got := marks(v); got != tt.want {
					t.Errorf("version %s:\n got %s\nwant %s\n%+v", c.File["room_version"], got, tt.want, v.Checks)
				}
				last := v.Checks[len(v.Checks)-1]
				if last.Rule == "M-104" && !strings.Contains(last.Detail, "would ask the policy server") {
					t.Errorf("version %s: %q does not tell what a live server does", c.File["room_version"], last.Detail)
				}
			}
		})
	}
}

// M-101: the event that names the policy server needs no signature of it, so that a room can get rid of it.
func TestCheckPolicyEvent(t *testing.T) {
	for _, c := range checkCases(t) {
		c.names("current_state", "a.org", "AAAA")
		delete(c.File, "keys")
		event := c.Ban.(map[string]any) // of @a:a.org, and rests on the member event of the banned user last
		list := event["auth_events"].([]any)
		event["type"], event["state_key"], event["content"], event["auth_events"] = "m.room.policy", "", map[string]any{}, list[:len(list)-1]
		c.File["event"] = event
		v, err := casefile.CheckEvent(c.file(t))
		if err != nil {
			t.Fatal(err)
		}
		// Changed after it was hashed, so what is judged is the redacted copy.
		if got, want := marks(v), "redacted P-25+ P-26? P-26-P-15 P-27+ P-28+ P-29+ P-30+"; got != want {
			t.Errorf("version %s:\n got %s\nwant %s\n%+v", c.File["room_version"], got, want, v.Checks)
		}
	}
}
