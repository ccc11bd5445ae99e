// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// graph is a room with messages that follow each other as said; their depths are what they claim.
type graph struct {
	*server
	room   ident.RoomID
	events map[string]*event.Event
	names  map[ident.EventID]string
}

// add sends a message of alice with given parents and depth.
func (g *graph) add(name string, depth int64, parents ...string) {
	g.net.t.Helper()
	p := event.Proto{
		RoomID: g.room, Sender: alice, Type: "m.room.message", Content: fmt.Appendf(nil, `{"body":%q}`, name), Depth: depth,
		OriginServerTS: int64(len(g.events)),
	}
	for _, parent := range parents {
		p.PrevEvents = append(p.PrevEvents, g.events[parent].Ref())
	}
	for _, x := range g.authFor(g.room, createSlot, levelsSlot, memberOf(alice)) {
		p.AuthEvents = append(p.AuthEvents, x.Ref())
	}
	x, err := event.Build(g.events["top"].Version(), p, "a.example", keyOf("a.example"))
	if err != nil {
		g.net.t.Fatal(err)
	}
	g.receive("a.example", x.JSON())
	g.events[name], g.names[x.ID()] = x, name
}

func (g *graph) ids(names ...string) []ident.EventID {
	ids := make([]ident.EventID, 0, len(names))
	for _, name := range names {
		ids = append(ids, g.events[name].ID())
	}
	return ids
}

// missing is the names of what get_missing_events answers.
func (g *graph) missing(earliest, latest []string, limit int, minDepth int64) (names []string) {
	g.net.t.Helper()
	body, err := json.Marshal(map[string]any{
		"earliest_events": g.ids(earliest...), "latest_events": g.ids(latest...), "limit": limit, "min_depth": minDepth,
	})
	if err != nil {
		g.net.t.Fatal(err)
	}
	for _, id := range g.ask("b.example", missing(g.room, string(body)), "events", g.events["top"].Version()) {
		names = append(names, g.names[id])
	}
	return names
}

func newGraph(n *network) *graph {
	a, b := n.start("a.example"), n.start("b.example")
	room := a.createPublic("10", alice)
	b.join(room, bob, a)
	n.deliver()
	top := a.send(room, text(alice, "top"))
	return &graph{a, room, map[string]*event.Event{"top": top}, map[ident.EventID]string{top.ID(): "top"}}
}

// P-86 on this graph; depths are as they should be but for c and g, whose sender lies:
//
//	top ◄─ a ◄─ b ◄─ c(depth 1) ◄─┐
//	       ▲                      f ◄─ g(depth 1000) ◄─ h
//	       └─ d ◄─────── e ◄──────┘
func TestMissingEventsOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		g := newGraph(n)
		base := g.events["top"].Depth()
		for _, x := range []struct {
			name    string
			depth   int64
			parents []string
		}{
			{"a", base + 1, []string{"top"}},
			{"b", base + 2, []string{"a"}},
			{"c", 1, []string{"b"}},
			{"d", base + 2, []string{"a"}},
			{"e", base + 3, []string{"d"}},
			{"f", base + 4, []string{"c", "e"}},
			{"g", 1000, []string{"f"}},
			{"h", base + 6, []string{"g"}},
		} {
			g.add(x.name, x.depth, x.parents...)
		}
		for _, tt := range []struct {
			name             string
			earliest, latest []string
			limit            int
			minDepth         int64
			want             [][]string // sets that come one after the other; sorted
		}{
			{"all", []string{"top"}, []string{"h"}, 50, 0, [][]string{{"a", "b", "d", "c", "e"}, {"f"}, {"g"}}},
			{"breadth first", []string{"top"}, []string{"h"}, 4, 0, [][]string{{"c", "e"}, {"f"}, {"g"}}},
			{"earliest is skipped", []string{"e", "a"}, []string{"f"}, 50, 0, [][]string{{"b"}, {"c"}}},
			{"latest is not returned, even where another follows it", []string{"top"}, []string{"f", "e"}, 50, 0, [][]string{{"a", "b", "c", "d"}}},
			{"latest twice", []string{"a"}, []string{"b", "b", "c"}, 50, 0, nil},
			{"latest that is earliest", []string{"top", "h"}, []string{"h"}, 50, 0, nil},
			{"min_depth leaves the liar out and walks past it", []string{"top"}, []string{"f"}, 50, base + 2, [][]string{{"b", "d", "e"}}},
			{"nothing asked for", nil, nil, 50, 0, nil},
			{"limit 0", nil, []string{"h"}, 0, 0, nil},
		} {
			got := g.missing(tt.earliest, tt.latest, tt.limit, tt.minDepth)
			at := map[string]int{}
			for i, name := range got {
				at[name] = i
			}
			for _, name := range got { // parents before children
				for _, parent := range g.events[name].PrevEvents() {
					if i, ok := at[g.names[parent]]; ok && i > at[name] {
						t.Errorf("%s: %v: %s before %s", tt.name, got, name, g.names[parent])
					}
				}
			}
			rest := got
			for _, part := range tt.want {
				head := slices.Sorted(slices.Values(rest[:min(len(part), len(rest))]))
				rest = rest[min(len(part), len(rest)):]
				if diff := cmp.Diff(slices.Sorted(slices.Values(part)), head); diff != "" {
					t.Errorf("%s: got %v: %s", tt.name, got, diff)
				}
			}
			if len(rest) != 0 {
				t.Errorf("%s: got %v, more than %v", tt.name, got, tt.want)
			}
		}
	})
}

// Gaps and other rooms end the walk; peers' numbers do no more than that.
func TestMissingEventsClamps(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		g := newGraph(n)
		base := g.events["top"].Depth()
		const length = 120
		last := "top"
		for i := range length {
			name := fmt.Sprint(i)
			g.add(name, base+1+int64(i), last)
			last = name
		}
		if got := g.missing([]string{"top"}, []string{last}, 1<<40, -1<<40); len(got) != 50 || got[49] != fmt.Sprint(length-2) {
			t.Errorf("huge limit: %d events, want the last 50", len(got))
		}
		// The gap in b's graph: it joined after top's parents.
		call := get("backfill/"+url.PathEscape(string(g.room)), url.Values{"v": {string(g.events[last].ID())}, "limit": {"99999999"}})
		if got := g.ask("b.example", call, "pdus", g.events["top"].Version()); len(got) != 100 {
			t.Errorf("backfill, huge limit: %d events, want 100", len(got))
		}
		many := make([]string, 0, 2*length) // more names than are looked at: those at the end are ignored
		for range length {
			many = append(many, "0")
		}
		if got := g.missing(nil, append(many, "5"), 50, base); !slices.Equal(got, []string{"top"}) {
			t.Errorf("%d names: %v", len(many), got)
		}
		// Far below min_depth the walk ends: what is behind is not looked at, though it claims to be deep.
		g.add("deep", base+1, "top")
		last = "deep"
		for i := range 60 {
			name := fmt.Sprintf("shallow%d", i)
			g.add(name, 1, last)
			last = name
		}
		g.add("tip", base+100, last)
		if got := g.missing([]string{"top"}, []string{"tip"}, 50, base+1); len(got) != 0 {
			t.Errorf("past 60 events below min_depth: %v", got)
		}
		if g.outcome(g.events["tip"].ID()) != pdu.Accepted {
			t.Error("the tip was not accepted")
		}
	})
}
