// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// Who comes back to a room pages through both stays and what was between them, as far as it is here: what they were told in a stay that
// ended before the room's members were known, too, whether history can be fetched or not.
func TestMessagesOfBothStays(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]string{"whole": "", "its members were never known": "/state"} {
		for _, fetched := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				n := &network{t: t, handlers: map[string]http.Handler{}}
				a, b := n.open("a.example"), n.open("b.example")
				room := a.room(alice, `{"preset":"public_chat"}`)
				a.ok(carol, "POST", in(room, "join"), ``, "")
				a.say(alice, room, numbers(1, 3)...)
				n.lose(lost)
				b.ok(bob, "POST", v3+"join/"+room+"?via=a.example", ``, "room_id")
				settle()
				told := a.say(carol, room, numbers(4, 6)...)
				settle()
				b.ok(bob, "POST", in(room, "leave"), ``, "")
				settle()
				a.say(alice, room, numbers(7, 9)...)
				n.lose("")
				b.ok(bob, "POST", v3+"join/"+room+"?via=a.example", ``, "room_id")
				settle()
				a.say(alice, room, numbers(10, 12)...)
				settle()
				want := slices.Concat(numbers(1, 3), numbers(4, 6), numbers(7, 9), numbers(10, 12))
				if !fetched {
					n.lose("/backfill")
					want = slices.Concat(numbers(4, 6), numbers(10, 12))
				}
				for _, limit := range []int{4, 100} {
					got := slices.DeleteFunc(b.pages(bob, room, "b", "", limit), func(body string) bool { return body[0] != 'm' || body[1] == '.' })
					slices.Reverse(got)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s, history is fetched: %t: %s", name, fetched, diff)
					}
				}
				for _, what := range []string{"event/", "context/"} {
					b.ok(bob, "GET", in(room, what+told[1]), "", "")
				}
				b.refused(carolOfB, "GET", in(room, "event/"+told[1]), "", 403, "M_FORBIDDEN")
			})
		}
	}
}

// carolOfB is nobody in the room.
const carolOfB = "@carol:b.example"
