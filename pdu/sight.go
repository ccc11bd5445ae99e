// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/pdu/visibility"
	"github.com/strata-matrix/strata/transport/ident"
)

// Visibility says whether a server may be shown an event (P-90), and why: what /event and /backfill would give it whole. A server
// that is not in the room now gets nothing of it, whatever this says. ErrUnknownEvent when the event, or its place in the graph, is
// not known: then the state that decides is not known either.
func (e *Engine) Visibility(ctx context.Context, id ident.EventID, server ident.ServerName) (visibility.Decision, error) {
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return visibility.Decision{}, err
	}
	if !r.inGraph {
		return visibility.Decision{}, fmt.Errorf("visibility of %s: %w", id, ErrUnknownEvent)
	}
	head, err := e.knownRoom(ctx, r.event.RoomID())
	if err != nil {
		return visibility.Decision{}, err
	}
	return e.sightOf(ctx, head, server).decide(r)
}

// sight is what one server may see of a room, for one request. The events of a request are near each other: the server's members
// are gathered once, and from then on followed by the differences between the states.
type sight struct {
	ctx    context.Context
	e      *Engine
	server ident.ServerName
	now    bool // a user of the server is joined now

	at        state.Root // of which the rest is
	gathered  bool
	members   map[string]visibility.Standing // of its users, those that matter
	standings [visibility.IsJoined + 1]int   // how many of each
}

func (e *Engine) sightOf(ctx context.Context, head *room, server ident.ServerName) *sight {
	return &sight{ctx: ctx, e: e, server: server, now: head.servers[server] > 0, members: map[string]visibility.Standing{}}
}

// decide judges an event of the graph by the state before it.
func (s *sight) decide(r *record) (visibility.Decision, error) {
	before, err := s.setting(r.before)
	if err != nil {
		return visibility.Decision{}, fmt.Errorf("visibility of %s: %w", r.event.ID(), err)
	}
	setting, at := visibility.For(r.event, before), visibility.Own(r.event, s.server)
	if at != visibility.IsJoined && (setting.NeedsMembers() || setting == visibility.Shared && !s.now) {
		if err := s.follow(r.before); err != nil {
			return visibility.Decision{}, fmt.Errorf("visibility of %s: %w", r.event.ID(), err)
		}
		at = max(at, s.standing())
	}
	return visibility.Decide(setting, at, s.now), nil
}

// shown is the events as the server may have them: what it may not see is redacted rather than left out. The ids and references
// stay, so that it can go on through the graph, and nothing that somebody said is given away.
func (s *sight) shown(records []*record) ([]*event.Event, error) {
	list := make([]*event.Event, len(records))
	for i, r := range records {
		decision, err := s.decide(r)
		if err != nil {
			return nil, err
		}
		if list[i] = r.event; !decision.Visible {
			list[i] = r.event.Redact()
		}
	}
	return list, nil
}

// setting is the visibility that a state has.
func (s *sight) setting(root state.Root) (visibility.Setting, error) {
	id, exists, err := state.Get(storedNodes{s.ctx, s.e}, root, visibility.Slot)
	if err != nil || !exists {
		return visibility.Shared, err
	}
	r, err := s.e.storedRecord(s.ctx, id)
	if err != nil {
		return visibility.Joined, err
	}
	return visibility.SettingOf(r.event), nil
}

// standing is the most that one of the server's users is.
func (s *sight) standing() visibility.Standing {
	for at := visibility.IsJoined; at > visibility.Outside; at-- {
		if s.standings[at] > 0 {
			return at
		}
	}
	return visibility.Outside
}

// follow brings members to a state.
func (s *sight) follow(root state.Root) error {
	changed := map[string]ident.EventID{}
	note := func(user string, id ident.EventID) {
		if ident.UserID(user).Server() == s.server {
			changed[user] = id
		}
	}
	switch {
	case !s.gathered:
		err := state.ScanType(storedNodes{s.ctx, s.e}, root, memberType, func(user string, id ident.EventID) bool {
			note(user, id)
			return s.ctx.Err() == nil
		})
		if err != nil {
			return err
		}
	case root != s.at:
		changes, err := state.Diff(storedNodes{s.ctx, s.e}, s.at, root)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Key.Type == memberType {
				note(c.Key.Key, c.B)
			}
		}
	}
	if err := s.take(changed); err != nil {
		return err
	}
	s.at, s.gathered = root, true
	return s.ctx.Err()
}

// take notes the membership events that users have now; "" is none.
func (s *sight) take(changed map[string]ident.EventID) error {
	ids := make([]ident.EventID, 0, len(changed))
	for _, id := range changed {
		if id != "" {
			ids = append(ids, id)
		}
	}
	found, err := s.e.records(s.ctx, ids)
	if err != nil {
		return err
	}
	for user, id := range changed {
		s.standings[s.members[user]]--
		delete(s.members, user)
		at := visibility.Outside
		if r := found[id]; r != nil {
			at = visibility.StandingOf(r.event)
		}
		if s.standings[at]++; at != visibility.Outside {
			s.members[user] = at
		}
	}
	return nil
}
