// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// TestInitialSync is "GET /rooms/{roomId}/initialSync" for who is in a room, who has left it, who looks in, and who may not.
func TestInitialSync(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat","visibility":"public"}`)
		a.ok(carol, "POST", in(room, "join"), ``, "")
		settle()
		a.say(alice, room, "one", "two", "three")
		settle()
		err := a.server.Store().Update(t.Context(), func(tx *persistence.Tx) error {
			return accountdata.Set(tx, carol, ident.RoomID(room), "m.tag", json.RawMessage(`{"tags":{}}`))
		})
		if err != nil {
			t.Fatal(err)
		}
		type answer struct {
			Room       string `json:"room_id"`
			Membership string
			Visibility string
			Messages   struct {
				Start, End string
				Chunk      []line
			}
			State       []line
			AccountData []struct {
				Type    string
				Content json.RawMessage
			} `json:"account_data"`
		}
		look := func(as, room, query string) (got answer) {
			t.Helper()
			status, text := a.Do(t, as, "GET", in(room, "initialSync?"+query), "")
			if err := json.Unmarshal(text, &got); err != nil || status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			return got
		}
		got := look(carol, room, "limit=2")
		if got.Room != room || got.Membership != "join" || got.Visibility != "public" || fmt.Sprint(got.Messages.Chunk) != "[two three]" ||
			fmt.Sprint(got.AccountData) != `[{m.tag [123 34 116 97 103 115 34 58 123 125 125]}]` || len(got.State) < 6 {
			t.Errorf("carol: %+v", got)
		}
		// The tokens lead on from either end.
		if before := a.messages(carol, room, "dir=b&limit=1&from="+got.Messages.Start).Chunk; fmt.Sprint(before) != "[one]" {
			t.Errorf("before the start: %v", before)
		}
		a.say(alice, room, "four")
		settle()
		if after := a.messages(carol, room, "dir=f&limit=1&from="+got.Messages.End).Chunk; fmt.Sprint(after) != "[four]" {
			t.Errorf("after the end: %v", after)
		}
		a.ok(carol, "POST", in(room, "leave"), ``, "")
		settle()
		a.say(alice, room, "five")
		settle()
		if got := look(carol, room, "limit=1"); got.Membership != "leave" || fmt.Sprint(got.Messages.Chunk) != "[m.room.member]" {
			t.Errorf("carol, who has left: %+v", got)
		}

		a.refused("@dave:a.example", "GET", in(room, "initialSync"), "", 403, "M_FORBIDDEN")
		open := a.room(alice, `{"preset":"public_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"world_readable"}}]}`)
		a.say(alice, open, "hello")
		settle()
		if got := look("@dave:a.example", open, "limit=1"); got.Membership != "" || got.Visibility != "private" || fmt.Sprint(got.Messages.Chunk) != "[hello]" {
			t.Errorf("dave, who looks in: %+v", got)
		}
		a.refused(alice, "GET", in(room, "initialSync?limit=x"), "", 400, "M_INVALID_PARAM")
	})
}
