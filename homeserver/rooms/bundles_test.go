// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// bundle is m.relations of an event, as tests look at it.
type bundle struct {
	Edit       string
	Thread     string // "latest (its edit) count participated"
	References []string
}

func bundleOf(t *testing.T, l line) (b bundle) {
	t.Helper()
	var all struct {
		Relations struct {
			Replace   *line `json:"m.replace"`
			Reference *struct {
				Chunk []struct {
					ID string `json:"event_id"`
				} `json:"chunk"`
			} `json:"m.reference"`
			Thread *struct {
				Latest       line `json:"latest_event"`
				Count        int  `json:"count"`
				Participated bool `json:"current_user_participated"`
			} `json:"m.thread"`
			Annotation any `json:"m.annotation"`
		} `json:"m.relations"`
	}
	text, err := json.Marshal(l.Unsigned)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	r := all.Relations
	if r.Replace != nil {
		b.Edit = r.Replace.String()
	}
	if r.Thread != nil {
		b.Thread = fmt.Sprintf("%s (%s) %d %t", r.Thread.Latest, bundleOf(t, r.Thread.Latest).Edit, r.Thread.Count, r.Thread.Participated)
	}
	if r.Reference != nil {
		for _, one := range r.Reference.Chunk {
			b.References = append(b.References, one.ID)
		}
	}
	if r.Annotation != nil {
		t.Error("annotations are aggregated")
	}
	return b
}

// sendRelated sends content that relates to an event, after a while.
func (h *host) sendRelated(as, room, kind, rel, parent, body, more string) string {
	h.t.Helper()
	time.Sleep(time.Millisecond)
	content := fmt.Sprintf(`{"body":%q,"m.relates_to":{"rel_type":%q,"event_id":%q}%s}`, body, rel, parent, more)
	return h.ok(as, "PUT", in(room, "send/"+kind+"/"+url.PathEscape(as+body)), content, "event_id")
}

func (h *host) edit(as, room, parent, body string) string {
	h.t.Helper()
	return h.sendRelated(as, room, "m.room.message", "m.replace", parent, body, `,"m.new_content":{"body":"new"}`)
}

// event is an event as somebody gets it.
func (h *host) event(as, room, id string) (l line) {
	h.t.Helper()
	status, answer := h.Do(h.t, as, "GET", in(room, "event/"+id), "")
	if status != 200 {
		h.t.Fatalf("event: %d %s", status, answer)
	}
	if err := json.Unmarshal(answer, &l); err != nil {
		h.t.Fatal(err)
	}
	return l
}

func (h *host) wantBundle(as, room, id string, want bundle) {
	h.t.Helper()
	if diff := cmp.Diff(want, bundleOf(h.t, h.event(as, room, id))); diff != "" {
		h.t.Errorf("as %s gets it: %s", as, diff)
	}
}

// Of edits the latest valid one comes with an event, whose content stays (CS "Event replacements").
func TestBundledEdits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		a.ok(carol, "POST", in(room, "join"), ``, "")
		id := a.say(alice, room, "text")[0]
		a.wantBundle(alice, room, id, bundle{})
		a.edit(alice, room, id, "first")
		second := a.edit(alice, room, id, "second")
		a.edit(carol, room, id, "of somebody else")
		a.sendRelated(alice, room, "m.room.message", "m.replace", id, "without new content", "")
		a.sendRelated(alice, room, "m.sticker", "m.replace", id, "of another type", `,"m.new_content":{}`)
		a.sendRelated(alice, room, "m.reaction", "m.annotation", id, "like", `,"key":"like"`)
		for _, as := range []string{alice, carol} {
			a.wantBundle(as, room, id, bundle{Edit: "second"})
		}
		if l := a.event(carol, room, id); l.String() != "text" {
			t.Errorf("the event's content is %v, want what it was", l)
		}
		a.edit(alice, room, second, "edit of an edit")
		a.wantBundle(alice, room, second, bundle{})
		a.ok(alice, "PUT", in(room, "redact/"+second+"/1"), `{}`, "")
		a.wantBundle(alice, room, id, bundle{Edit: "first"})
		a.ok(alice, "PUT", in(room, "redact/"+id+"/2"), `{}`, "")
		a.wantBundle(alice, room, id, bundle{})
	})
}

// A thread comes with its root, and in it with what is newest in it what relates to that; references are listed (CS "Threading", "Reference
// relations"). What is redacted, hidden, or by whom the user ignores does not count.
func TestBundledThreads(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		a.ok(carol, "POST", in(room, "join"), ``, "")
		id := a.say(alice, room, "root")[0]
		a.sendRelated(alice, room, "m.room.message", "m.thread", id, "in1", "")
		in2 := a.sendRelated(carol, room, "m.room.message", "m.thread", id, "in2", "")
		a.edit(carol, room, in2, "in2 anew")
		in3 := a.sendRelated(alice, room, "m.room.message", "m.thread", id, "in3", "")
		ref1 := a.sendRelated(carol, room, "m.x", "m.reference", id, "ref1", "")
		ref2 := a.sendRelated(alice, room, "m.x", "m.reference", id, "ref2", "")
		nested := map[string]any{"m.relates_to": map[string]string{"rel_type": "m.thread", "event_id": ref1}} // of which others may make one
		if _, err := a.server.Send(t.Context(), ident.RoomID(room), alice, "m.room.message", nested); err != nil {
			t.Fatal(err)
		}
		a.wantBundle(alice, room, id, bundle{Thread: "in3 () 3 true", References: []string{ref1, ref2}})
		a.wantBundle(alice, room, ref1, bundle{})
		a.ok(alice, "PUT", in(room, "redact/"+in3+"/1"), `{}`, "")
		want := bundle{Thread: "in2 (in2 anew) 2 true", References: []string{ref1, ref2}}
		a.wantBundle(carol, room, id, want)
		const dan = "@dan:a.example"
		a.ok(dan, "POST", in(room, "join"), ``, "")
		want.Thread = "in2 (in2 anew) 2 false"
		a.wantBundle(dan, room, id, want)

		a.ignore(dan, carol)
		a.wantBundle(dan, room, id, bundle{Thread: "in1 () 1 false", References: []string{ref2}})
		a.ignore(dan, alice)
		_, answer := a.Do(t, dan, "GET", v1+"rooms/"+room+"/threads", "")
		var threads struct{ Chunk []line }
		if err := json.Unmarshal(answer, &threads); err != nil {
			t.Fatal(err)
		}
		if len(threads.Chunk) != 1 || len(threads.Chunk[0].Content) != 0 || bundleOf(t, threads.Chunk[0]).Thread != "in2 (in2 anew) 1 false" {
			t.Errorf("a thread whose root is by an ignored user: %+v, want the root redacted with what others said", threads.Chunk)
		}
		// Nothing comes with state (S-31).
		state := a.ok(alice, "PUT", in(room, "state/m.room.topic"), `{"topic":"t"}`, "event_id")
		a.sendRelated(alice, room, "m.x", "m.reference", state, "of state", "")
		a.wantBundle(alice, room, state, bundle{})
	})
}

func (h *host) ignore(as, whom string) {
	h.t.Helper()
	err := h.server.Store().Update(h.t.Context(), func(tx *persistence.Tx) error {
		content := fmt.Sprintf(`{"ignored_users":{%q:{}}}`, whom)
		return accountdata.Set(tx, ident.UserID(as), "", "m.ignored_user_list", json.RawMessage(content))
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// Who has left sees of a thread what they saw then.
func TestBundlesOfWhoLeft(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		a.ok(carol, "POST", in(room, "join"), ``, "")
		id := a.say(alice, room, "root")[0]
		a.edit(alice, room, id, "edit")
		a.sendRelated(alice, room, "m.room.message", "m.thread", id, "seen", "")
		ref := a.sendRelated(alice, room, "m.x", "m.reference", id, "ref", "")
		a.ok(carol, "POST", in(room, "leave"), ``, "")
		a.edit(alice, room, id, "later edit")
		a.sendRelated(alice, room, "m.room.message", "m.thread", id, "later", "")
		a.sendRelated(alice, room, "m.x", "m.reference", id, "later ref", "")
		a.wantBundle(carol, room, id, bundle{Edit: "edit", Thread: "seen () 1 false", References: []string{ref}})
	})
}

// All endpoints that the specification names give what relates to events; threads and relations that were before a join show once they
// have been fetched (P-85).
func TestBundlesOfHistory(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		root := a.say(alice, room, "root")[0]
		old := a.sendRelated(alice, room, "m.room.message", "m.thread", root, "old", "")
		a.edit(alice, room, old, "old anew")
		a.sendRelated(alice, room, "m.reaction", "m.annotation", root, "like", "")
		b.ok(bob, "POST", v3+"join/"+room+"?via=a.example", ``, "room_id")
		settle()
		path := v1 + "rooms/" + room + "/"
		if got, _, _ := b.listed(bob, path+"threads"); got != nil {
			t.Errorf("before history is fetched there are threads %v", got)
		}
		b.pages(bob, room, "b", "", 100)
		a.sendRelated(alice, room, "m.room.message", "m.thread", root, "new", "")
		settle()
		want := bundle{Thread: "new () 2 false"}
		b.wantBundle(bob, room, root, want)
		b.wantBundle(bob, room, old, bundle{Edit: "old anew"})
		for _, at := range []struct{ path, member, of string }{
			{path + "threads", "chunk", root}, {in(room, "messages?dir=b&limit=50"), "chunk", root}, {in(room, "messages?dir=f&limit=50"), "chunk", root},
			{in(room, "context/"+old+"?limit=20"), "events_before", root}, {in(room, "context/"+root), "event", root},
		} {
			if l := b.find(bob, at.path, at.member, at.of); cmp.Diff(want, bundleOf(t, l)) != "" {
				t.Errorf("%s: %+v", at.path, l)
			}
		}
		for _, at := range []string{"relations/" + root, "relations/" + root + "/m.thread", "relations/" + root + "/m.thread/m.room.message"} {
			if l := b.find(bob, path+at, "chunk", old); bundleOf(t, l).Edit != "old anew" {
				t.Errorf("%s: %+v", at, l)
			}
		}
		for _, dir := range []string{"b", "f"} {
			var all []string
			for from := ""; len(all) < 9; {
				got, next, _ := b.listed(bob, path+"relations/"+root+"?recurse=true&limit=1&dir="+dir+from)
				if all = append(all, got...); next == "" {
					break
				}
				from = "&from=" + next
			}
			want := []string{"new", "like", "old anew", "old"}
			if dir == "f" {
				slices.Reverse(want)
			}
			if diff := cmp.Diff(want, all); diff != "" {
				t.Errorf("what relates, %s: %s", dir, diff)
			}
		}
	})
}

// find is an event of an answer: a member of it, or one of the list that it is.
func (h *host) find(as, path, member, id string) line {
	h.t.Helper()
	status, answer := h.Do(h.t, as, "GET", path, "")
	var members map[string]json.RawMessage
	if err := json.Unmarshal(answer, &members); err != nil || status != 200 {
		h.t.Fatalf("%s: %d %s", path, status, answer)
	}
	var list []line
	if json.Unmarshal(members[member], &list) != nil {
		list = make([]line, 1)
		if err := json.Unmarshal(members[member], &list[0]); err != nil {
			h.t.Fatal(err)
		}
	}
	i := slices.IndexFunc(list, func(l line) bool { return l.ID == id })
	if i < 0 {
		h.t.Fatalf("%s: %s is not among %v", path, id, list)
	}
	return list[i]
}
