// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// line is an event of an answer, as tests look at it.
type line struct {
	ID       string         `json:"event_id"`
	Type     string         `json:"type"`
	Key      *string        `json:"state_key"`
	Content  map[string]any `json:"content"`
	Unsigned map[string]any `json:"unsigned"`
}

func (l line) String() string {
	if body, ok := l.Content["body"]; ok {
		return fmt.Sprint(body)
	}
	return l.Type
}

// page is an answer of /messages.
type page struct {
	Chunk      []line `json:"chunk"`
	Start, End string
	State      []line `json:"state"`
}

func (h *host) messages(as, room, query string) (p page) {
	h.t.Helper()
	status, answer := h.Do(h.t, as, "GET", in(room, "messages?"+query), "")
	if status != 200 {
		h.t.Fatalf("messages: %d %s", status, answer)
	}
	if err := json.Unmarshal(answer, &p); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// pages goes through a room from a token to the end, by so many.
func (h *host) pages(as, room, dir, from string, limit int) (bodies []string) {
	h.t.Helper()
	for {
		query := fmt.Sprintf("dir=%s&limit=%d", dir, limit)
		if from != "" {
			query += "&from=" + url.QueryEscape(from)
		}
		p := h.messages(as, room, query)
		for _, l := range p.Chunk {
			bodies = append(bodies, l.String())
		}
		if from = p.End; from == "" || len(bodies) > 1000 {
			return bodies
		}
	}
}

func (h *host) say(as, room string, bodies ...string) (ids []string) {
	h.t.Helper()
	for _, body := range bodies {
		ids = append(ids, h.ok(as, "PUT", in(room, "send/m.room.message/"+body), `{"msgtype":"m.text","body":"`+body+`"}`, "event_id"))
	}
	return ids
}

func numbers(from, to int) (list []string) {
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprintf("m%02d", i))
	}
	return list
}

// Paging by any number of events comes by each once, both ways, and back from where it has gone.
func TestMessages(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, ``)
		a.say(alice, room, numbers(1, 12)...)
		order, _ := a.firstState(room)
		want := slices.Concat(order[:len(order)-12], numbers(1, 12))
		if diff := cmp.Diff(want, a.pages(alice, room, "f", "", 5)); diff != "" {
			t.Errorf("forward: %s", diff)
		}
		slices.Reverse(want)
		for _, limit := range []int{1, 7, 100} {
			if diff := cmp.Diff(want, a.pages(alice, room, "b", "", limit)); diff != "" {
				t.Errorf("back by %d: %s", limit, diff)
			}
		}
		first := a.messages(alice, room, "dir=b&limit=4")
		if back := a.messages(alice, room, "dir=f&limit=4&from="+first.End); fmt.Sprint(back.Chunk) != "[m09 m10 m11 m12]" {
			t.Errorf("forward from the end of a page: %v", back.Chunk)
		}
		if p := a.messages(alice, room, "dir=b&limit=50&from="+first.End+"&to="+a.messages(alice, room, "dir=b&limit=6").End); fmt.Sprint(p.Chunk) != "[m08 m07]" || p.End != "" {
			t.Errorf("through another token: %v, end %q", p.Chunk, p.End)
		}
		filter := url.QueryEscape(`{"types":["m.room.name","m.room.create"],"lazy_load_members":true}`)
		p := a.messages(alice, room, "dir=b&filter="+filter)
		if fmt.Sprint(p.Chunk) != "[m.room.create]" || len(p.State) != 1 || *p.State[0].Key != alice {
			t.Errorf("filtered: %v with %v, want the create event and alice", p.Chunk, p.State)
		}
		for query, code := range map[string]string{
			"": "M_MISSING_PARAM", "dir=x": "M_INVALID_PARAM", "dir=b&from=x": "M_INVALID_PARAM", "dir=b&to=t1": "M_INVALID_PARAM",
			"dir=b&limit=x": "M_INVALID_PARAM", "dir=b&filter=x": "M_INVALID_PARAM", "dir=b&from=t1.2.3.4": "M_INVALID_PARAM",
		} {
			a.refused(alice, "GET", in(room, "messages?"+query), "", 400, code)
		}
		a.refused(carol, "GET", in(room, "messages?dir=b"), "", 403, "M_FORBIDDEN")
	})
}

// What was before a join is fetched when somebody pages back to it, and has its place between what came before and after (P-85, K5).
func TestMessagesOfHistory(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		a.say(alice, room, numbers(1, 150)...)
		b.ok(bob, "POST", v3+"join/"+room+"?via=a.example", ``, "room_id")
		settle()
		a.say(alice, room, numbers(151, 155)...)
		settle()
		want := a.pages(alice, room, "b", "", 100)
		for _, limit := range []int{100, 30, 7} {
			if diff := cmp.Diff(want, b.pages(bob, room, "b", "", limit)); diff != "" {
				t.Fatalf("back by %d: %s", limit, diff)
			}
		}
		slices.Reverse(want)
		if diff := cmp.Diff(want, b.pages(bob, room, "f", "", 40)); diff != "" {
			t.Errorf("forward: %s", diff)
		}
		p := b.messages(bob, room, "dir=b&limit=20")
		middle := p.Chunk[19].ID // of history
		_, answer := b.Do(t, bob, "GET", in(room, "context/"+middle+"?limit=6"), "")
		var around struct {
			Event         line
			Start, End    string
			Before, After []line `json:"-"`
			EventsBefore  []line `json:"events_before"`
			EventsAfter   []line `json:"events_after"`
		}
		if err := json.Unmarshal(answer, &around); err != nil {
			t.Fatal(err)
		}
		at := slices.Index(want, around.Event.String())
		wantBefore, wantAfter := slices.Clone(want[at-3:at]), want[at+1:at+4]
		slices.Reverse(wantBefore)
		if fmt.Sprint(around.EventsBefore) != fmt.Sprint(wantBefore) || fmt.Sprint(around.EventsAfter) != fmt.Sprint(wantAfter) {
			t.Errorf("around %s: %v and %v, want %v and %v", around.Event, around.EventsBefore, around.EventsAfter, wantBefore, wantAfter)
		}
		if next := b.messages(bob, room, "dir=b&limit=1&from="+around.Start); fmt.Sprint(next.Chunk[0]) != want[at-4] {
			t.Errorf("before the context: %v, want %s", next.Chunk, want[at-4])
		}
		if next := b.messages(bob, room, "dir=f&limit=1&from="+around.End); fmt.Sprint(next.Chunk[0]) != want[at+4] {
			t.Errorf("after the context: %v, want %s", next.Chunk, want[at+4])
		}
	})
}

// M-112: with the visibility "joined" nothing is seen of when one was not, by /messages, /event and /context alike.
func TestVisibilityOfMessages(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"joined"}}]}`)
		early := a.say(alice, room, "early")[0]
		a.ok(carol, "POST", in(room, "join"), ``, "")
		settle()
		during := a.say(alice, room, "during")[0]
		a.ok(carol, "POST", in(room, "leave"), ``, "")
		settle()
		late := a.say(alice, room, "late")[0]
		settle()
		// What was before the visibility was set is shared, and so is the event that sets it.
		const want = "[m.room.member during m.room.member m.room.history_visibility m.room.join_rules m.room.power_levels m.room.member m.room.create]"
		if got := a.pages(carol, room, "b", "", 100); fmt.Sprint(got) != want {
			t.Errorf("carol sees %v, want what was between her join and her leaving, and what is shared", got)
		}
		for id, status := range map[string]int{early: 404, during: 200, late: 404, "$none": 404} {
			for _, what := range []string{"event/", "context/"} {
				if got, answer := a.Do(t, carol, "GET", in(room, what+id), ""); got != status {
					t.Errorf("%s%s: %d %s, want %d", what, id, got, answer, status)
				}
			}
		}
		a.refused(alice, "GET", in(a.room(alice, ``), "event/"+during), "", 404, "M_NOT_FOUND") // of another room
	})
}

func TestMembers(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat","invite":["@dan:a.example"]}`)
		before := a.messages(alice, room, "dir=b&limit=1").Start
		a.ok(carol, "POST", in(room, "join"), ``, "")
		settle()
		members := func(as, query string) map[string]string {
			t.Helper()
			_, answer := a.Do(t, as, "GET", in(room, "members?"+query), "")
			var list struct{ Chunk []line }
			if err := json.Unmarshal(answer, &list); err != nil {
				t.Fatal(err)
			}
			found := map[string]string{}
			for _, l := range list.Chunk {
				found[*l.Key], _ = l.Content["membership"].(string)
			}
			return found
		}
		const dan = "@dan:a.example"
		for query, want := range map[string]map[string]string{
			"":                    {alice: "join", carol: "join", dan: "invite"},
			"membership=join":     {alice: "join", carol: "join"},
			"not_membership=join": {dan: "invite"},
			"at=" + before:        {alice: "join", dan: "invite"},
		} {
			if diff := cmp.Diff(want, members(alice, query)); diff != "" {
				t.Errorf("%s: %s", query, diff)
			}
		}
		a.Want(t, alice, "GET", in(room, "joined_members"), "", 200,
			`{"joined":{"@alice:a.example":{"display_name":"ALICE"},"@carol:a.example":{"display_name":"CAROL"}}}`)
		a.ok(carol, "POST", in(room, "leave"), ``, "")
		settle()
		a.ok(alice, "POST", in(room, "ban"), user(dan), "")
		if diff := cmp.Diff(map[string]string{alice: "join", carol: "leave", dan: "invite"}, members(carol, "")); diff != "" {
			t.Errorf("as carol left it: %s", diff)
		}
		a.refused(carol, "GET", in(room, "joined_members"), "", 403, "M_FORBIDDEN")
		a.refused(dan, "GET", in(room, "members"), "", 403, "M_FORBIDDEN")
		a.refused(alice, "GET", in(room, "members?at=x"), "", 400, "M_INVALID_PARAM")
	})
}
