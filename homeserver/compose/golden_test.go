// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

// The golden vector is from Dendrite's README (syncapi): letters are state events, a prime replaces, digits are messages.
//
//	position  1 2 3 4 5 6 7 8  9 10  11 12 13   14    15
//	event     A B C D 1 2 3 D' 4 D'' 5  B' D''' D'''' 6
const golden = "A B C D 1 2 3 D' 4 D'' 5 B' D''' D'''' 6"

// vector is a room with the golden vector in it, and the token after each of its events, from 0 on.
type vector struct {
	*site
	room   ident.RoomID
	tokens []string
}

func playVector(s *site, visibility string) *vector {
	s.t.Helper()
	v := &vector{site: s}
	v.room = must[ident.RoomID](s.t)(s.server.CreateRoom(s.t.Context(), messaging.CreateRoom{
		Creator: alice, Public: true,
		State: []messaging.State{{Type: "m.room.history_visibility", Content: map[string]string{"history_visibility": visibility}}},
	}))
	v.tokens = append(v.tokens, s.next(alice))
	for _, name := range strings.Fields(golden) {
		v.send(name)
		v.tokens = append(v.tokens, s.next(alice))
	}
	return v
}

func (v *vector) send(name string) {
	v.t.Helper()
	letter := strings.TrimRight(name, "'")
	var err error
	if letter >= "A" {
		_, err = v.server.SendState(v.t.Context(), v.room, alice, "org.test."+letter, "", map[string]string{"name": name})
	} else {
		_, err = v.server.Send(v.t.Context(), v.room, alice, "m.room.message", text(name))
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// shown is an answer's part of the vector, and whatever else of state there is under its name in "others".
type shown struct {
	Timeline   string
	Limited    bool
	State      string // sorted
	StateAfter string // sorted, of a second request with use_state_after
}

func (v *vector) see(as ident.UserID, query ...string) (got shown) {
	v.t.Helper()
	classic, after := v.sync(as, query...), v.sync(as, append(query, "use_state_after=true")...)
	one, two := classic.Rooms.Join[v.room], after.Rooms.Join[v.room]
	if one.State == nil && len(classic.Rooms.Join) > 0 || one.StateAfter != nil || two.State != nil || two.StateAfter == nil && len(after.Rooms.Join) > 0 {
		v.t.Errorf("%v: state %v, state_after %v; with use_state_after state %v, state_after %v", query, one.State, one.StateAfter, two.State, two.StateAfter)
	}
	if a, b := names(one.Timeline.Events, as), names(two.Timeline.Events, as); !slices.Equal(a, b) {
		v.t.Errorf("%v: timeline %v, but %v with use_state_after", query, a, b)
	}
	sorted := func(list *events) string {
		if list == nil {
			return "absent"
		}
		return strings.Join(slices.Sorted(slices.Values(names(list.Events, as))), " ")
	}
	return shown{
		Timeline: strings.Join(names(one.Timeline.Events, as), " "), Limited: one.Timeline.Limited,
		State: sorted(one.State), StateAfter: sorted(two.StateAfter),
	}
}

// names is the vector's names of events; the join of somebody other than alice is J.
func names(list []clientEvent, as ident.UserID) (all []string) {
	for _, e := range list {
		switch {
		case strings.HasPrefix(e.Type, "org.test."):
			all = append(all, fmt.Sprint(e.Content["name"]))
		case e.Type == "m.room.message":
			all = append(all, fmt.Sprint(e.Content["body"]))
		case e.Type == "m.room.member" && *e.StateKey == string(as) && as != alice:
			all = append(all, "J")
		}
	}
	return all
}

func limit(n int) string { return fmt.Sprintf(`filter={"room":{"timeline":{"limit":%d}}}`, n) }

// TestGolden is the golden vector's cases G1 to G4 and G7 to G9: state is that at the start of the timeline (C4, S-06).
func TestGolden(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		v := playVector(s, "shared")
		for _, tt := range []struct {
			name  string
			query []string
			want  shown
		}{
			{"G1", []string{"since=" + v.tokens[14], limit(5)}, shown{"6", false, "", ""}},
			{"G2", []string{"since=" + v.tokens[9], limit(5)}, shown{"5 B' D''' D'''' 6", true, "D''", "B' D''''"}},
			{"G3", []string{limit(5)}, shown{"5 B' D''' D'''' 6", true, "A B C D''", "A B' C D''''"}},
			{"G4", []string{"since=" + v.tokens[9], limit(5), "full_state=true"}, shown{"5 B' D''' D'''' 6", true, "A B C D''", "A B' C D''''"}},
			{"G7", []string{"since=" + v.tokens[9], limit(6)}, shown{"D'' 5 B' D''' D'''' 6", false, "", "B' D''''"}},
			{"G8", []string{"since=" + v.tokens[9], limit(1)}, shown{"6", true, "B' D''''", "B' D''''"}},
			{"G9", []string{"since=" + v.tokens[14], limit(5), "full_state=true"}, shown{"6", false, "A B' C D''''", "A B' C D''''"}},
		} {
			if got := v.see(alice, tt.query...); !cmp.Equal(got, tt.want) {
				t.Errorf("%s: %s", tt.name, cmp.Diff(tt.want, got))
			}
		}
	})
}

// TestGoldenJoin is G5 and G6: whoever joins gets all of the state, and the timeline that they may see (C5, S-17).
func TestGoldenJoin(t *testing.T) {
	for _, tt := range []struct {
		visibility string
		want       shown
	}{
		{"shared", shown{"B' D''' D'''' 6 J", true, "A B C D''", "A B' C D'''' J"}},
		{"joined", shown{"J", true, "A B' C D''''", "A B' C D'''' J"}},
	} {
		inBubble(t, func(t *testing.T, s *site) {
			v := playVector(s, tt.visibility)
			since := s.next(bob)
			if err := s.server.Join(t.Context(), bob, v.room, nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := v.see(bob, "since="+since, limit(5)); !cmp.Equal(got, tt.want) {
				t.Errorf("%s: %s", tt.visibility, cmp.Diff(tt.want, got))
			}
		})
	}
}
