// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// The scripts in testdata/scenarios are rooms and what their forks resolve to. A line of a room is an event:
//
//	id: sender type … [after=id] [auth=id,id] [ts=n] [depth=n] [rejected | rejected=kept]
//
// with what the type needs in the middle (member target membership; power_levels user:level … .name:level …; join_rules rule;
// any other type a text). An event comes after the one on the line above or the one named; its auth events are what the
// state there has, unless named ("+id" adds one to those). Its timestamp is the number of its line. A rejected event is not
// in the state after it, unless kept. "resolve a b" resolves the states after a and after b, and prints the trace and the
// slots in question.
//
// Expected output is reasoned from the spec, in the comment above it; -rewrite is for changes of the form only.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &script{tb: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.tb = t
			switch d.Cmd {
			case "room":
				var version string
				d.ScanArgs(t, "version", &version)
				s.begin(version)
				fallthrough
			case "more":
				for line := range strings.Lines(d.Input) {
					s.event(strings.Fields(line))
				}
				return fmt.Sprintf("%d events\n", len(s.room.plain))
			case "resolve":
				return s.resolve(d.CmdArgs)
			}
			t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			return ""
		})
	})
}

type script struct {
	tb     testing.TB
	room   *testRoom
	roomID string
	after  map[string]StateMap // the state after each event
	last   string
}

func (s *script) begin(version string) {
	s.room = newTestRoom(s.tb, version)
	s.after, s.last = map[string]StateMap{"": {}}, ""
}

// id makes an event id of a short name: ids sort as the names do.
func (s *script) id(name string) ident.EventID {
	if s.room.version.EventIDFormat == event.IDField {
		return ident.EventID("$" + name + ":a.org")
	}
	return ident.EventID("$" + name + strings.Repeat("-", 43-len(name)))
}

func name(id ident.EventID) string {
	return strings.TrimRight(strings.TrimSuffix(string(id[1:]), ":a.org"), "-")
}

func user(name string) string { return "@" + name + ":a.org" }

func (s *script) event(words []string) {
	p := plainEvent{ID: s.id(strings.TrimSuffix(words[0], ":")), Sender: user(words[1]), Type: "m.room." + words[2]}
	p.TS = int64(len(s.room.plain) + 1)
	parent, options := s.last, map[string]string{}
	var args []string
	for _, word := range words[3:] {
		if option, value, ok := strings.Cut(word, "="); ok || word == "rejected" {
			options[option] = value
		} else {
			args = append(args, word)
		}
	}
	if after, ok := options["after"]; ok {
		parent = after
	}
	before, ok := s.after[parent]
	if !ok {
		s.tb.Fatalf("%s comes after %s, which is not there", words[0], parent)
	}
	s.content(&p, args)
	if p.Prev = []ident.EventID{}; parent != "" {
		p.Prev = append(p.Prev, s.id(parent))
		p.Depth = s.room.events[s.id(parent)].Depth()
	}
	p.Depth++
	if s.roomID == "" || p.Type == "m.room.create" {
		if s.roomID = "!room:a.org"; s.room.version.HashRoomID {
			s.roomID = "!" + string(p.ID[1:])
		}
	}
	p.Room = s.roomID
	s.applyOptions(&p, before, options)
	s.room.add(s.tb, p)

	s.last = strings.TrimSuffix(words[0], ":")
	state := maps.Clone(before)
	if !p.Rejected || options["rejected"] == "kept" {
		state[event.StateKey{Type: p.Type, Key: p.Key}] = p.ID
	}
	s.after[s.last] = state
}

// content fills in what the words after the type say.
func (s *script) content(p *plainEvent, args []string) {
	switch p.Type {
	case "m.room.create":
		p.Content = map[string]any{"room_version": s.room.version.ID}
		if s.room.version.CreatorInContent {
			p.Content["creator"] = p.Sender
		}
	case "m.room.member":
		p.Key, p.Content = user(args[0]), map[string]any{"membership": args[1]}
	case "m.room.join_rules":
		p.Content = map[string]any{"join_rule": args[0]}
	case "m.room.power_levels":
		users := map[string]any{}
		p.Content = map[string]any{"users": users}
		for _, arg := range args {
			who, text, _ := strings.Cut(arg, ":")
			level, err := strconv.Atoi(text)
			if err != nil {
				s.tb.Fatal(err)
			}
			if scalar, ok := strings.CutPrefix(who, "."); ok {
				p.Content[scalar] = level
			} else {
				users[user(who)] = level
			}
		}
	default:
		p.Content = map[string]any{"text": strings.Join(args, " ")}
	}
}

func (s *script) applyOptions(p *plainEvent, before StateMap, options map[string]string) {
	p.Auth = []ident.EventID{}
	named, isNamed := options["auth"]
	if added, isAdded := strings.CutPrefix(named, "+"); !isNamed || isAdded {
		bare := s.room.make(s.tb, *p)
		for _, slot := range auth.Needed(s.room.version, p.Type, &p.Key, bare.Sender(), bare.Content()) {
			if id, ok := before[slot]; ok {
				p.Auth = append(p.Auth, id)
			}
		}
		named = added
	}
	for _, a := range strings.FieldsFunc(named, func(r rune) bool { return r == ',' }) {
		p.Auth = append(p.Auth, s.id(a))
	}
	for option, field := range map[string]*int64{"ts": &p.TS, "depth": &p.Depth} {
		if text, ok := options[option]; ok {
			number, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				s.tb.Fatal(err)
			}
			*field = number
		}
	}
	_, p.Rejected = options["rejected"]
}

func (s *script) resolve(tips []datadriven.CmdArg) string {
	room := forkedRoom{testRoom: s.room}
	for _, tip := range tips {
		state, ok := s.after[tip.Key]
		if !ok {
			s.tb.Fatalf("there is no event %s", tip.Key)
		}
		room.sets = append(room.sets, state)
	}
	res := resolveBothWays(s.tb, room)

	var text strings.Builder
	list := func(title string, ids []ident.EventID) {
		if len(ids) > 0 {
			fmt.Fprintf(&text, "%s:", title)
			for _, id := range ids {
				fmt.Fprintf(&text, " %s", name(id))
			}
			text.WriteByte('\n')
		}
	}
	list("auth difference", res.Trace.AuthDifference)
	list("subgraph", res.Trace.Subgraph)
	list("power order", res.Trace.PowerOrder)
	list("mainline", res.Trace.Mainline)
	list("mainline order", res.Trace.MainlineOrder)
	for _, c := range res.Trace.Checks {
		if !c.Result.OK {
			fmt.Fprintf(&text, "%s is refused by %s\n", name(c.Event), c.Result.Rule)
		}
	}
	for _, key := range res.Trace.Conflicted {
		slot := strings.TrimSuffix(strings.TrimPrefix(key.Type, "m.room.")+" "+strings.TrimSuffix(key.Key, ":a.org"), " ")
		if id, ok := res.State[key]; ok {
			fmt.Fprintf(&text, "%s = %s\n", slot, name(id))
		} else {
			fmt.Fprintf(&text, "%s is empty\n", slot)
		}
	}
	return text.String()
}

// What a room resolves to depends neither on the order of the sets nor on their number of times (P-80).
func TestOrderOfSetsDoesNotMatter(t *testing.T) {
	for _, version := range judgedVersions {
		for seed := range seeds(40) {
			room := randomRoom(t, newRand(seed), version)
			want := resolveBothWays(t, room)
			slices.Reverse(room.sets)
			room.sets = append(room.sets, room.sets[0])
			got := resolveBothWays(t, room)
			if !maps.Equal(want.State, got.State) || !slices.Equal(want.Trace.Checks, got.Trace.Checks) {
				t.Fatalf("version %s, seed %d: the order of the sets matters", version, seed)
			}
		}
	}
}
