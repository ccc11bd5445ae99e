// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/persistence"
)

// relate sends an event that relates to another.
func (h *host) relate(as, room, body, kind, rel, parent string) string {
	h.t.Helper()
	return h.ok(as, "PUT", in(room, "send/"+kind+"/"+body),
		fmt.Sprintf(`{"body":%q,"m.relates_to":{"rel_type":%q,"event_id":%q}}`, body, rel, parent), "event_id")
}

func (h *host) listed(as, path string) (bodies []string, next string, depth int) {
	h.t.Helper()
	status, answer := h.Do(h.t, as, "GET", path, "")
	if status != 200 {
		h.t.Fatalf("%s: %d %s", path, status, answer)
	}
	var page struct {
		Chunk []line
		Next  string `json:"next_batch"`
		Depth int    `json:"recursion_depth"`
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		h.t.Fatal(err)
	}
	for _, l := range page.Chunk {
		bodies = append(bodies, l.String())
	}
	return bodies, page.Next, page.Depth
}

func TestRelations(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		root := a.say(alice, room, "root")[0]
		a.relate(alice, room, "one", "m.room.message", "m.thread", root)
		two := a.relate(alice, room, "two", "m.room.message", "m.thread", root)
		after := a.messages(alice, room, "dir=b&limit=1").Start
		a.relate(alice, room, "like", "m.reaction", "m.annotation", root)
		a.relate(alice, room, "edit", "m.room.message", "m.replace", two)
		gone := a.relate(alice, room, "gone", "m.room.message", "m.thread", root)
		a.ok(alice, "PUT", in(room, "redact/"+gone+"/1"), ``, "event_id")
		settle()
		base := v1 + "rooms/" + room + "/relations/" + root
		for path, want := range map[string][]string{
			"":                               {"like", "two", "one"},
			"?dir=f":                         {"one", "two", "like"},
			"/m.thread":                      {"two", "one"},
			"/m.thread/m.room.message?dir=f": {"one", "two"},
			"/m.annotation/m.room.message":   nil,
			"?from=" + after:                 {"two", "one"},
			"?to=" + after:                   {"like"},
			"?dir=f&from=" + after:           {"like"},
			"?dir=f&to=" + after:             {"one", "two"},
			"?recurse=true&from=" + after:    {"two", "one"},
			"?recurse=true":                  {"edit", "like", "two", "one"},
			"/m.replace?recurse=true":        {"edit"},
		} {
			got, next, depth := a.listed(alice, base+path)
			if diff := cmp.Diff(want, got); diff != "" || next != "" {
				t.Errorf("%s: next %q, %s", path, next, diff)
			}
			if recurses := strings.Contains(path, "recurse"); recurses != (depth == 3) {
				t.Errorf("%s: recursion_depth %d", path, depth)
			}
		}
		for _, dir := range []string{"b", "f"} {
			var all []string
			for from := ""; ; {
				query := "?limit=1&dir=" + dir
				if from != "" {
					query += "&from=" + from
				}
				got, next, _ := a.listed(alice, base+query)
				if all = append(all, got...); next == "" || len(all) > 5 {
					break
				}
				from = next
			}
			if want := map[string]string{"b": "[like two one]", "f": "[one two like]"}[dir]; fmt.Sprint(all) != want {
				t.Errorf("one by one, %s: %v, want %s", dir, all, want)
			}
		}
		a.refused(alice, "GET", v1+"rooms/"+room+"/relations/$none", "", 404, "M_NOT_FOUND")
		a.refused(carol, "GET", base, "", 403, "M_FORBIDDEN")
		a.refused(alice, "GET", base+"?dir=x", "", 400, "M_INVALID_PARAM")
		a.refused(alice, "GET", base+"?from=x", "", 400, "M_INVALID_PARAM")
	})
}

// No thread begins in what relates to something, and nobody says the same of an event twice, unless they have taken it back. A repeated
// request is answered as before.
func TestRelationsRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		a.ok(carol, "POST", in(room, "join"), ``, "")
		root := a.say(alice, room, "root")[0]
		reply := a.relate(alice, room, "reply", "m.room.message", "m.thread", root)
		send := func(as, txn, kind, rel, to, more string, status int, code string) string {
			t.Helper()
			path, body := in(room, "send/"+kind+"/"+txn), fmt.Sprintf(`{"m.relates_to":{"rel_type":%q,"event_id":%q%s}}`, rel, to, more)
			if code != "" {
				a.refused(as, "PUT", path, body, status, code)
				return ""
			}
			return a.ok(as, "PUT", path, body, "event_id")
		}
		send(alice, "1", "m.room.message", "m.thread", reply, "", 400, "M_UNKNOWN")
		send(alice, "2", "m.room.message", "m.thread", "$unknown", "", 200, "")
		like := send(alice, "3", "m.reaction", "m.annotation", root, `,"key":"👍"`, 200, "")
		if again := send(alice, "3", "m.reaction", "m.annotation", root, `,"key":"👍"`, 200, ""); again != like {
			t.Errorf("the request once more made %s, not %s", again, like)
		}
		send(alice, "4", "m.reaction", "m.annotation", root, `,"key":"👍"`, 400, "M_DUPLICATE_ANNOTATION")
		send(alice, "5", "m.reaction", "m.annotation", root, `,"key":"👎"`, 200, "")
		send(alice, "6", "org.example.rating", "m.annotation", root, `,"key":"👍"`, 200, "")
		send(carol, "7", "m.reaction", "m.annotation", root, `,"key":"👍"`, 200, "")
		a.ok(alice, "PUT", in(room, "redact/"+like+"/8"), `{}`, "")
		send(alice, "9", "m.reaction", "m.annotation", root, `,"key":"👍"`, 200, "")
	})
}

// Threads come in the order of what is newest in them.
func TestThreads(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		a.ok(carol, "POST", in(room, "join"), ``, "")
		roots := a.say(alice, room, "first", "second", "third")
		for i, root := range []int{0, 1, 2, 0} {
			a.relate(alice, room, fmt.Sprint("in", i), "m.room.message", "m.thread", roots[root])
		}
		a.relate(carol, room, "carols", "m.room.message", "m.thread", roots[1])
		settle()
		path := v1 + "rooms/" + room + "/threads"
		for query, want := range map[string][]string{
			"": {"second", "first", "third"}, "?include=all": {"second", "first", "third"}, "?limit=2": {"second", "first"},
		} {
			if got, _, _ := a.listed(carol, path+query); !cmp.Equal(got, want) {
				t.Errorf("%s: %v, want %v", query, got, want)
			}
		}
		if got, _, _ := a.listed(carol, path+"?include=participated"); fmt.Sprint(got) != "[second]" {
			t.Errorf("carol has part in %v, want the second", got)
		}
		_, next, _ := a.listed(carol, path+"?limit=2")
		if got, end, _ := a.listed(carol, path+"?limit=2&from="+next); fmt.Sprint(got) != "[third]" || end != "" {
			t.Errorf("the next page: %v, end %q", got, end)
		}
		a.refused(carol, "GET", path+"?include=odd", "", 400, "M_INVALID_PARAM")
	})
}

func TestReports(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		id := a.say(alice, room, "rude")[0]
		a.refused(carol, "POST", in(room, "report/"+id), `{"reason":"rude"}`, 403, "M_FORBIDDEN")
		a.ok(carol, "POST", in(room, "report"), `{"reason":"rude people"}`, "")
		a.ok(carol, "POST", in(room, "join"), ``, "")
		a.ok(carol, "POST", in(room, "report/"+id), `{"reason":"rude","score":-500}`, "")
		a.refused(carol, "POST", in(room, "report/$none"), `{}`, 404, "M_NOT_FOUND")
		a.refused(carol, "POST", in("!none:a.example", "report"), `{}`, 404, "M_NOT_FOUND")
		a.refused(carol, "POST", in(room, "report/"+id), `{"score":"x"}`, 400, "M_BAD_JSON")
		var kept []string
		err := a.server.Store().View(t.Context(), func(tx *persistence.Tx) error {
			return tx.Query(`SELECT user, event, score, reason FROM hs_reports ORDER BY nid`, nil, func(r persistence.Row) error {
				var user, event, reason string
				var score int
				err := r.Scan(&user, &event, &score, &reason)
				kept = append(kept, fmt.Sprint(user, " ", event, " ", score, " ", reason))
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{carol + "  0 rude people", carol + " " + id + " -100 rude"}, kept); diff != "" {
			t.Error(diff)
		}
	})
}
