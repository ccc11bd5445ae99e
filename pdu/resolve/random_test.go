// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// forkedRoom is a room and the states at the ends of its branches.
type forkedRoom struct {
	*testRoom
	sets []StateMap
}

// randomRoom makes a room in which some users act, forks it, and lets everyone act on each branch by what that branch
// knows. Every event passes the authorisation rules on its own branch. In half of the rooms the branches begin with a race; in
// every eighth there are many of them; in every fourth some events count as rejected.
func randomRoom(tb testing.TB, rng *rand.Rand, version string) forkedRoom {
	g := &generator{testRoom: newTestRoom(tb, version), tb: tb, rng: rng, ts: 1_000, key: identityKey(tb)}
	for i := range 6 {
		g.users = append(g.users, fmt.Sprintf("@u%d:%c.org", i, 'a'+i%3))
	}
	trunk := g.begin()
	g.act(trunk, rng.IntN(8))
	forks, actions := 2+rng.IntN(3)*rng.IntN(2), 4+rng.IntN(12)
	if rng.IntN(8) == 0 {
		forks, actions = 5+rng.IntN(5), 2+rng.IntN(5)
	}
	race := noRace
	if rng.IntN(2) == 0 {
		race = races[rng.IntN(len(races))]
	}
	var sets []StateMap
	for i := range forks {
		b := trunk.fork()
		race(g, b, i)
		sets = append(sets, g.grow(b, actions).state)
	}
	if rng.IntN(4) == 0 {
		g.reject()
	}
	return forkedRoom{g.testRoom, sets}
}

// reject makes about one event in ten one that was rejected on receipt, whether or not it is in a state.
func (g *generator) reject() {
	for i := range g.plain[1:] {
		if p := &g.plain[1+i]; g.rng.IntN(10) == 0 {
			p.Rejected, g.rejected[p.ID] = true, true
		}
	}
}

type generator struct {
	*testRoom
	tb    testing.TB
	rng   *rand.Rand
	users []string
	ts    int64
	room  string
	key   signing.Key // of the identity server that confirms third-party invites
}

// branch is one line of history.
type branch struct {
	state StateMap
	past  []StateMap // earlier states, for events with stale auth events
	depth int64
	tip   ident.EventID
}

func (b *branch) fork() *branch {
	return &branch{maps.Clone(b.state), slices.Clone(b.past), b.depth, b.tip}
}

// Event answers for the auth rules.
type branchState struct {
	g     *generator
	state StateMap
}

func (s branchState) Event(key event.StateKey) *event.Event { return s.g.events[s.state[key]] }

func (g *generator) id() ident.EventID {
	var raw [32]byte
	for i := range raw {
		raw[i] = byte(g.rng.UintN(256))
	}
	text := base64.RawURLEncoding.EncodeToString(raw[:])
	if g.version.EventIDFormat == event.IDField {
		return ident.EventID("$" + text[:12] + ":a.org")
	}
	return ident.EventID("$" + text)
}

// begin makes a room with its first members.
func (g *generator) begin() *branch {
	b := &branch{state: StateMap{}}
	create := plainEvent{ID: g.id(), Type: "m.room.create", Sender: g.users[0]}
	create.Content = map[string]any{"room_version": g.version.ID}
	if g.version.CreatorInContent {
		create.Content["creator"] = g.users[0]
	}
	if g.room = "!room:a.org"; g.version.HashRoomID {
		g.room = "!" + string(create.ID[1:])
		if g.rng.IntN(2) == 0 {
			create.Content["additional_creators"] = []string{g.users[1]}
		}
	}
	create.Room, create.Depth, create.TS = g.room, 1, g.ts
	create.Auth, create.Prev = []ident.EventID{}, []ident.EventID{}
	g.keep(create, g.make(g.tb, create))
	b.state[createSlot], b.depth, b.tip = create.ID, 1, create.ID

	levels := map[string]any{g.users[2]: 50, g.users[3]: 50}
	if !g.version.HashRoomID {
		levels[g.users[0]], levels[g.users[1]] = 100, g.rng.IntN(2)*50+50
	}
	g.try(b, g.users[0], "m.room.member", g.users[0], map[string]any{"membership": "join"})
	g.try(b, g.users[0], "m.room.power_levels", "", map[string]any{"users": levels, "state_default": g.rng.IntN(2) * 25})
	g.try(b, g.users[0], "m.room.join_rules", "", map[string]any{"join_rule": "public"})
	for _, u := range g.users[1:5] {
		g.try(b, u, "m.room.member", u, map[string]any{"membership": "join"})
	}
	return b
}

// grow forks a branch and lets users act on it; now and then it forks and merges on the way.
func (g *generator) grow(from *branch, actions int) *branch {
	b := from.fork()
	if actions < 6 || g.rng.IntN(3) > 0 {
		g.act(b, actions)
		return b
	}
	x, y := g.grow(b, actions/3), g.grow(b, actions/3)
	merged, err := Resolve(g.version, []StateMap{x.state, y.state}, g)
	if err != nil {
		g.tb.Fatal(err)
	}
	b = &branch{state: merged.State, past: append(x.past, y.past...), depth: max(x.depth, y.depth), tip: x.tip}
	g.act(b, actions/3)
	return b
}

func (g *generator) act(b *branch, actions int) {
	for done, tries := 0, 0; done < actions && tries < 20*actions; tries++ {
		if g.action(b) {
			done++
		}
	}
}

// action lets a random user try something.
func (g *generator) action(b *branch) bool {
	sender, target := g.someone(), g.someone()
	switch g.rng.IntN(14) {
	case 0, 1:
		profile := map[string]any{"membership": "join", "displayname": fmt.Sprint(g.rng.IntN(100))}
		return g.try(b, sender, "m.room.member", sender, profile)
	case 2:
		return g.try(b, sender, "m.room.member", sender, map[string]any{"membership": g.pick("leave", "knock")})
	case 3, 4:
		return g.try(b, sender, "m.room.member", target, map[string]any{"membership": g.pick("leave", "ban")})
	case 5:
		return g.try(b, sender, "m.room.member", target, map[string]any{"membership": "invite"})
	case 6, 7:
		return g.changePower(b, sender, target)
	case 8:
		rule := map[string]any{"join_rule": g.pick("public", "invite", "knock", "restricted", "knock_restricted")}
		return g.try(b, sender, "m.room.join_rules", "", rule)
	case 9:
		via := map[string]any{"membership": "join", "join_authorised_via_users_server": target}
		return g.try(b, sender, "m.room.member", sender, via)
	case 10:
		return g.inviteByEmail(b, sender)
	case 11:
		return g.redeem(b, sender, target)
	}
	typ, key := g.pick("m.room.topic", "m.room.name", "org.example"), g.pick("", "", "k")
	return g.try(b, sender, typ, key, map[string]any{"n": g.rng.IntN(100)})
}

// someone is a user; the ones with power act more often.
func (g *generator) someone() string { return g.users[min(g.rng.IntN(6), g.rng.IntN(6))] }

func (g *generator) pick(of ...string) string { return of[g.rng.IntN(len(of))] }

func (g *generator) changePower(b *branch, sender, target string) bool {
	content := map[string]any{}
	for _, p := range g.plain {
		if p.ID == b.state[powerSlot] {
			content = maps.Clone(p.Content)
		}
	}
	users := map[string]any{}
	if old, ok := content["users"].(map[string]any); ok {
		users = maps.Clone(old)
	}
	users[target] = 25 * g.rng.IntN(5)
	content["users"] = users
	if g.rng.IntN(3) == 0 {
		content[g.pick("ban", "kick", "invite", "state_default", "users_default")] = 25 * g.rng.IntN(4)
	}
	return g.try(b, sender, "m.room.power_levels", "", content)
}

// try puts an event on the branch if the rules allow it there, and at its own auth events, which are stale now and then.
func (g *generator) try(b *branch, sender, typ, key string, content map[string]any) bool {
	p := plainEvent{ID: g.id(), Type: typ, Key: key, Sender: sender, Content: content, Room: g.room, Depth: b.depth + 1}
	g.ts += int64(g.rng.IntN(4)) * 100
	p.TS = g.ts - int64(g.rng.IntN(8)*100)
	p.Prev, p.Auth = []ident.EventID{b.tip}, []ident.EventID{}
	source := b.state
	if len(b.past) > 0 && g.rng.IntN(8) == 0 {
		source = b.past[g.rng.IntN(len(b.past))]
	}
	bare := g.make(g.tb, p)
	for _, slot := range auth.Needed(g.version, typ, &key, bare.Sender(), bare.Content()) {
		if id, ok := source[slot]; ok {
			p.Auth = append(p.Auth, id)
		}
	}
	e := g.make(g.tb, p)
	atAuth := StateMap{createSlot: b.state[createSlot]}
	for _, id := range p.Auth {
		slot, _ := g.events[id].Slot()
		atAuth[slot] = id
	}
	if !auth.Check(e, branchState{g, atAuth}).OK || !auth.Check(e, branchState{g, b.state}).OK {
		return false
	}
	g.keep(p, e)
	b.past = append(b.past, maps.Clone(b.state))
	slot, _ := e.Slot()
	b.state[slot], b.depth, b.tip = p.ID, p.Depth, p.ID
	return true
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// shortShare of the random rooms is resolved in a short run, under the race detector: resolution is a function of one goroutine.
const shortShare = 10

func seeds(n uint64) uint64 {
	if testing.Short() {
		return n / shortShare
	}
	return n
}
