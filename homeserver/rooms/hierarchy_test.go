// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// walked lists the rooms of a hierarchy by their names, with the next page.
func (h *host) walked(as, room, query string) (names []string, next string) {
	h.t.Helper()
	status, answer := h.Do(h.t, as, "GET", v1+"rooms/"+room+"/hierarchy?"+query, "")
	if status != 200 {
		h.t.Fatalf("hierarchy: %d %s", status, answer)
	}
	var page struct {
		Rooms []struct {
			Name     string            `json:"name"`
			Children []json.RawMessage `json:"children_state"`
		} `json:"rooms"`
		Next string `json:"next_batch"`
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		h.t.Fatal(err)
	}
	for _, r := range page.Rooms {
		if r.Children == nil {
			h.t.Errorf("%s has no children_state", r.Name)
		}
		names = append(names, r.Name)
	}
	return names, page.Next
}

// space puts rooms into a space, in an order.
func (h *host) space(as, space, room, via, order string) {
	h.t.Helper()
	h.ok(as, "PUT", in(space, "state/m.space.child/"+room), fmt.Sprintf(`{"via":[%q],"order":%q}`, via, order), "event_id")
}

// The tree is root (one (deep, secret), two, remote (leaf, root again)). mod/spaces: depth first, by order, no room twice, what the user
// cannot see is not there.
func TestHierarchy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		make := func(h *host, as, name, rest string) string {
			return h.room(as, fmt.Sprintf(`{"name":%q,"preset":"public_chat"%s}`, name, rest))
		}
		const isSpace = `,"creation_content":{"type":"m.space"}`
		root, one := make(a, alice, "root", isSpace), make(a, alice, "one", isSpace)
		two, deep := make(a, alice, "two", ""), make(a, alice, "deep", "")
		secret := a.room("@dan:a.example", `{"name":"secret"}`)
		remote, leaf := make(b, bob, "remote", isSpace), make(b, bob, "leaf", "")
		hidden := b.room(bob, `{"name":"hidden"}`)
		a.space(alice, root, two, "a.example", "2")
		a.space(alice, root, one, "a.example", "1")
		a.space(alice, root, remote, "b.example", "3")
		a.space(alice, one, deep, "a.example", "")
		a.space(alice, one, secret, "a.example", "")
		inNoSpace := make(a, alice, "in no space", "")
		a.space(alice, two, inNoSpace, "a.example", "") // "two" is none
		b.space(bob, remote, leaf, "b.example", "1")
		b.space(bob, remote, hidden, "b.example", "2")
		b.space(bob, remote, root, "a.example", "3")
		all := []string{"root", "one", "deep", "two", "remote", "leaf"}
		names, next := a.walked(alice, root, "")
		if diff := cmp.Diff(all, names); diff != "" || next != "" {
			t.Errorf("%s, next %q", diff, next)
		}
		if names, _ := a.walked("@dan:a.example", one, ""); len(names) != 3 || names[0] != "one" {
			t.Errorf("dan, who is in it, sees %v", names)
		}
		if names, _ := a.walked(alice, root, "max_depth=1"); !cmp.Equal(names, []string{"root", "one", "two", "remote"}) {
			t.Errorf("max_depth=1: %v", names)
		}
		if names, _ := a.walked(alice, root, "suggested_only=true"); !cmp.Equal(names, []string{"root"}) {
			t.Errorf("suggested_only: %v", names)
		}
		var paged []string
		for from := ""; ; {
			names, next := a.walked(alice, root, "limit=2&from="+url.QueryEscape(from))
			if paged = append(paged, names...); next == "" {
				break
			}
			from = next
		}
		if diff := cmp.Diff(all, paged); diff != "" {
			t.Errorf("paged: %s", diff)
		}
		_, next = a.walked(alice, root, "limit=2")
		path := v1 + "rooms/" + root + "/hierarchy"
		a.refused(alice, "GET", path+"?max_depth=1&from="+next, "", 400, "M_INVALID_PARAM")
		a.refused(alice, "GET", path+"?from=x", "", 400, "M_INVALID_PARAM")
		a.refused(alice, "GET", path+"?limit=-1", "", 400, "M_INVALID_PARAM")
		a.refused(alice, "GET", v1+"rooms/"+secret+"/hierarchy", "", 403, "M_FORBIDDEN")
	})
}

func TestSummary(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"name":"N","preset":"public_chat","room_alias_name":"r"}`)
		closed := a.room(alice, `{"invite":["@bob:b.example"]}`)
		path := v1 + "room_summary/"
		want := func(membership string) string {
			if membership != "" {
				membership = fmt.Sprintf(`,"membership":%q`, membership)
			}
			return fmt.Sprintf(`{"room_id":%q,"name":"N","canonical_alias":"#r:a.example","num_joined_members":1,"world_readable":false,
				"guest_can_join":false,"join_rule":"public","room_version":"12"%s}`, room, membership)
		}
		a.Want(t, "", "GET", path+room, "", 200, want(""))
		a.Want(t, alice, "GET", path+url.PathEscape("#r:a.example"), "", 200, want("join"))
		b.Want(t, bob, "GET", path+room+"?via=a.example", "", 200, want("leave"))
		b.Want(t, bob, "GET", path+url.PathEscape("#r:a.example"), "", 200, want("leave")) // asked of its server
		b.refused(bob, "GET", path+room, "", 404, "M_NOT_FOUND")
		a.refused("", "GET", path+closed, "", 404, "M_NOT_FOUND")
		a.refused(carol, "GET", path+closed, "", 404, "M_NOT_FOUND")
		a.refused(carol, "GET", path+"nothing", "", 400, "M_INVALID_PARAM")
	})
}

// What another server has is asked of it: aliases (E-28), and its directory (E-24).
func TestRemoteDirectory(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"name":"N","visibility":"public","room_alias_name":"r"}`)
		b.Want(t, "", "GET", named("#r:a.example"), "", 200, fmt.Sprintf(`{"room_id":%q,"servers":["a.example"]}`, room))
		b.refused("", "GET", named("#none:a.example"), "", 404, "M_NOT_FOUND")
		b.refused("", "GET", named("#r:down.example"), "", 502, "M_UNKNOWN")
		var page struct {
			Chunk []struct {
				Room string `json:"room_id"`
			} `json:"chunk"`
		}
		_, answer := b.Do(t, "", "GET", v3+"publicRooms?server=a.example", "")
		if err := json.Unmarshal(answer, &page); err != nil || len(page.Chunk) != 1 || page.Chunk[0].Room != room {
			t.Errorf("directory of a.example: %s %v", answer, err)
		}
		b.refused("", "GET", v3+"publicRooms?server=down.example", "", 502, "M_UNKNOWN")
		b.refused("", "GET", v3+"publicRooms?server=:", "", 400, "M_INVALID_PARAM")
		if got := b.ok(bob, "POST", v3+"join/"+url.PathEscape("#r:a.example"), ``, "room_id"); got != room {
			t.Errorf("joined %s over the alias, want %s", got, room)
		}
	})
}
