// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// named is the path of an alias.
func named(alias string) string { return v3 + "directory/room/" + url.PathEscape(alias) }

func TestAliases(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		const alias = "#r:a.example"
		room, other := a.room(alice, `{"preset":"public_chat"}`), a.room(alice, ``)
		lead := fmt.Sprintf(`{"room_id":%q}`, room)
		a.refused(alice, "GET", named(alias), "", 404, "M_NOT_FOUND")
		a.ok(carol, "PUT", named(alias), lead, "")
		a.Want(t, "", "GET", named(alias), "", 200, fmt.Sprintf(`{"room_id":%q,"servers":["a.example"]}`, room))
		a.refused(alice, "PUT", named(alias), lead, 409, "M_UNKNOWN")
		a.refused(alice, "PUT", named("#r:b.example"), lead, 400, "M_INVALID_PARAM")
		a.refused(alice, "PUT", named("r"), lead, 400, "M_INVALID_PARAM")
		a.refused(alice, "PUT", named("#s:a.example"), `{}`, 400, "M_MISSING_PARAM")
		a.refused(alice, "PUT", named("#s:a.example"), `{"room_id":"r"}`, 400, "M_INVALID_PARAM")
		a.Want(t, alice, "GET", in(room, "aliases"), "", 200, `{"aliases":["#r:a.example"]}`)
		a.Want(t, alice, "GET", in(other, "aliases"), "", 200, `{"aliases":[]}`)
		a.refused(carol, "GET", in(room, "aliases"), "", 403, "M_FORBIDDEN")
		a.ok("@dan:a.example", "POST", v3+"join/"+url.PathEscape(alias), ``, "room_id")
		a.refused("@dan:a.example", "DELETE", named(alias), "", 403, "M_FORBIDDEN") // neither theirs nor a moderator
		a.refused("@dan:a.example", "DELETE", named("#s:a.example"), "", 404, "M_NOT_FOUND")
		a.ok(alice, "DELETE", named(alias), "", "")
		a.refused(alice, "GET", named(alias), "", 404, "M_NOT_FOUND")
	})
}

// "PUT /rooms/{roomId}/state": M_BAD_ALIAS for one that does not lead to the room, M_INVALID_PARAM for what is none.
func TestCanonicalAlias(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"room_alias_name":"r"}`)
		a.room(alice, `{"room_alias_name":"other"}`)
		path := in(room, "state/m.room.canonical_alias")
		a.ok(alice, "PUT", path, `{"alias":"#r:a.example","alt_aliases":["#r:a.example"]}`, "event_id")
		a.refused(alice, "PUT", path, `{"alias":"#none:a.example"}`, 400, "M_BAD_ALIAS")
		a.refused(alice, "PUT", path, `{"alt_aliases":["#other:a.example"]}`, 400, "M_BAD_ALIAS")
		a.refused(alice, "PUT", path, `{"alias":"r"}`, 400, "M_INVALID_PARAM")
		a.refused(alice, "PUT", path, `{"alias":7}`, 400, "M_BAD_JSON")
		a.ok(alice, "DELETE", named("#r:a.example"), "", "")
		a.ok(alice, "PUT", path, `{"alias":"#r:a.example"}`, "event_id") // the room has it already
		a.ok(alice, "PUT", path, `{}`, "event_id")
		a.refused(alice, "PUT", path, `{"alias":"#r:a.example"}`, 400, "M_BAD_ALIAS")
	})
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		first := a.room(alice, `{"visibility":"public","name":"First","topic":"Apples","room_alias_name":"first"}`)
		space := a.room(alice, `{"visibility":"public","name":"Second","creation_content":{"type":"m.space"}}`)
		third := a.room(alice, `{"preset":"public_chat","name":"Third"}`)
		listed := func(room string) string { return v3 + "directory/list/room/" + url.PathEscape(room) }
		a.Want(t, "", "GET", listed(third), "", 200, `{"visibility":"private"}`)
		a.ok(carol, "POST", in(third, "join"), ``, "")
		a.refused(carol, "PUT", listed(third), `{"visibility":"public"}`, 403, "M_FORBIDDEN")
		a.refused(alice, "PUT", listed(third), `{"visibility":"odd"}`, 400, "M_BAD_JSON")
		a.refused(alice, "GET", listed("!none:a.example"), "", 404, "M_NOT_FOUND")
		a.ok(alice, "PUT", listed(third), `{}`, "") // public is what is meant by nothing
		a.Want(t, "", "GET", listed(third), "", 200, `{"visibility":"public"}`)
		a.Want(t, "", "GET", v3+"publicRooms?limit=1", "", 200, fmt.Sprintf(`{"chunk":[{"room_id":%q,"canonical_alias":"#first:a.example",
			"guest_can_join":false,"join_rule":"public","name":"First","num_joined_members":1,"topic":"Apples","world_readable":false,
			"room_version":"12"}],
			"next_batch":"f1","total_room_count_estimate":3}`, first))
		find := func(body string) (rooms []string) {
			var page struct {
				Chunk []struct {
					Room string `json:"room_id"`
				} `json:"chunk"`
			}
			_, answer := a.Do(t, alice, "POST", v3+"publicRooms", body)
			if err := json.Unmarshal(answer, &page); err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Chunk {
				rooms = append(rooms, c.Room)
			}
			return rooms
		}
		for body, want := range map[string][]string{
			`{}`:                       {first, space, third},
			`{"since":"f1"}`:           {space, third},
			`{"since":"b3"}`:           {first, space},
			`{"since":"b3","limit":1}`: {space},
			`{"filter":{"generic_search_term":"apple"}}`:   {first},
			`{"filter":{"generic_search_term":"FIRST:a"}}`: {first},
			`{"filter":{"room_types":["m.space"]}}`:        {space},
			`{"filter":{"room_types":[null]}}`:             {first, third},
			`{"filter":{"room_types":[null,"m.space"]}}`:   {first, space, third},
			`{"filter":{"generic_search_term":"nothing"}}`: nil,
		} {
			if diff := cmp.Diff(want, find(body)); diff != "" {
				t.Errorf("%s: %s", body, diff)
			}
		}
		a.refused(alice, "POST", v3+"publicRooms", `{"since":"x"}`, 400, "M_INVALID_PARAM")
		a.refused(alice, "POST", v3+"publicRooms", `{"since":"fx"}`, 400, "M_INVALID_PARAM")
		a.refused(alice, "GET", v3+"publicRooms?limit=x", ``, 400, "M_INVALID_PARAM")
	})
}

// Paging through the directory comes by every room once, in both directions (M-71).
func TestDirectoryPages(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		var all []string
		for range 7 {
			all = append(all, a.room(alice, `{"visibility":"public"}`))
		}
		var page struct {
			Chunk []struct {
				Room string `json:"room_id"`
			} `json:"chunk"`
			Next string `json:"next_batch"`
			Prev string `json:"prev_batch"`
		}
		get := func(since string) {
			page.Chunk, page.Next, page.Prev = nil, "", ""
			_, answer := a.Do(t, "", "GET", v3+"publicRooms?limit=3&since="+since, "")
			if err := json.Unmarshal(answer, &page); err != nil {
				t.Fatal(err)
			}
		}
		var seen []string
		for since := ""; ; since = page.Next {
			get(since)
			for _, c := range page.Chunk {
				seen = append(seen, c.Room)
			}
			if page.Next == "" {
				break
			}
		}
		if diff := cmp.Diff(all, seen); diff != "" {
			t.Errorf("forward: %s", diff)
		}
		back := all[6:]
		for since := page.Prev; since != ""; since = page.Prev {
			get(since)
			var these []string
			for _, c := range page.Chunk {
				these = append(these, c.Room)
			}
			back = append(these, back...)
		}
		if diff := cmp.Diff(all, back); diff != "" {
			t.Errorf("backward: %s", diff)
		}
	})
}
