// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Power is how much power a user was ever given by a user of an honest server. The room's creator has all of it.
type Power map[ident.UserID]int

const creatorPower = 100

// Expectation is what a scenario says of its own end: each honest server in the room sees a user with a membership.
type Expectation struct {
	User       ident.UserID
	Membership string
	Outside    bool // seen by the user's server, which is not in the room
}

// userOf is the user of a server's letter.
func userOf(letter string) ident.UserID {
	return ident.UserID("@" + letter + ":" + letter + ".example")
}

// parseMembership is bans, unbans and kicks: a membership that one user gives another.
func parseMembership(membership string) func(*Script, []string) (func(*actor), error) {
	return func(s *Script, words []string) (func(*actor), error) {
		if len(words) != 1 || !slices.Contains(s.Servers, words[0]) {
			return nil, errors.New("a server is needed")
		}
		s.Revokes = true
		return func(a *actor) { a.setMembership(userOf(words[0]), membership) }, nil
	}
}

func (s *Script) parseRedacts(words []string) (func(*actor), error) {
	if len(words) != 1 || !slices.Contains(s.Servers, words[0]) {
		return nil, errors.New("whose message?")
	}
	name := ident.ServerName(words[0] + ".example")
	return func(a *actor) { a.redact(name) }, nil
}

// parseExpect takes down what must hold at the end.
func (s *Script) parseExpect(words []string) (func(*World), error) {
	memberships := []string{"join", "leave", "ban"}
	outside := len(words) == 3 && words[1] == "outside"
	if outside {
		memberships, words = []string{"invite", "knock", "leave"}, slices.Delete(slices.Clone(words), 1, 2)
	}
	if len(words) != 2 || !slices.Contains(s.Servers, words[0]) || !slices.Contains(memberships, words[1]) {
		return nil, fmt.Errorf("a server and one of %q are needed", memberships)
	}
	s.Expected = append(s.Expected, Expectation{User: userOf(words[0]), Membership: words[1], Outside: outside})
	return func(*World) {}, nil
}

// setMembership changes what another user is to the room.
func (a *actor) setMembership(user ident.UserID, membership string) {
	content := map[string]string{"membership": membership}
	a.note(a.breathe().SendState(context.Background(), a.world.Room(), a.node.user, "m.room.member", string(user), content))
}

// redact takes back the newest message of a server that its own server has.
func (a *actor) redact(of ident.ServerName) {
	server := a.breathe()
	for _, ack := range slices.Backward(a.world.Acknowledged()) {
		if ack.Server != of {
			continue
		}
		stored, err := server.Engine().Event(context.Background(), ack.Event)
		if err == nil && stored.Event.Type() == "m.room.message" {
			a.note(server.Redact(context.Background(), a.world.Room(), a.node.user, ack.Event, "simulation"))
			return
		}
	}
	a.world.Timeline.Add(string(a.node.name), "has no message of %s to redact", of)
}

// empower gives a user a power level.
func (a *actor) empower(user ident.UserID, level int) {
	server, room := a.breathe(), a.world.Room()
	slot := event.StateKey{Type: "m.room.power_levels"}
	now, err := server.Engine().StateEvent(context.Background(), room, slot)
	if err != nil || now == nil {
		a.note("", fmt.Errorf("read power levels: %w", err))
		return
	}
	content, err := withPower(now, user, level)
	if err != nil {
		a.note("", err)
		return
	}
	a.world.grant(a.node, user, level)
	a.note(server.SendState(context.Background(), room, a.node.user, slot.Type, slot.Key, content))
}

// withPower is the content of a power levels event with one user's level changed.
func withPower(now *event.Event, user ident.UserID, level int) (map[string]any, error) {
	var content map[string]any
	if err := json.Unmarshal(now.Content().Canonical(), &content); err != nil {
		return nil, fmt.Errorf("power levels %s: %w", now.ID(), err)
	}
	users, _ := content["users"].(map[string]any)
	if users == nil {
		users = map[string]any{}
	}
	users[string(user)] = level
	content["users"] = users
	return content, nil
}

// grant takes down that an honest server's user may have given a user power.
func (w *World) grant(by *node, user ident.UserID, level int) {
	if by.liar != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.granted[user] = max(w.granted[user], level)
}
