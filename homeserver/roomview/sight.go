// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/pdu/visibility"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Sight is what one user may see of a room as of a position, for one request: events that are near each other have the same state
// before them, which is then looked at once. It belongs to one goroutine.
type Sight struct {
	v    *View
	user ident.UserID
	room ident.RoomID

	at         persistence.Position
	membership string
	gathered   bool         // stays is
	stays      []Membership // through the position
	present    state.Root   // the state as of the position, zero while it is not needed
	settings   map[state.Root]visibility.Setting
	members    map[state.Root]string
}

// Sight is what a user sees of a room through a position, at which they stand to it as is given: "" for who does not know.
func (v *View) Sight(ctx context.Context, user ident.UserID, room ident.RoomID, at persistence.Position, membership string) (*Sight, error) {
	s := &Sight{
		v: v, user: user, room: room, at: at, membership: membership,
		settings: map[state.Root]visibility.Setting{}, members: map[state.Root]string{},
	}
	if membership == "" {
		return s, s.gather(ctx)
	}
	return s, nil
}

// gather reads how the user has stood to the room.
func (s *Sight) gather(ctx context.Context) error {
	if s.gathered {
		return nil
	}
	stays, err := s.v.Stays(ctx, s.user, s.room)
	if err != nil {
		return err
	}
	s.stays = slices.DeleteFunc(stays, func(m Membership) bool { return m.Position > s.at })
	s.gathered = true
	if n := len(s.stays); s.membership == "" && n > 0 {
		s.membership = s.stays[n-1].Membership
	}
	s.membership = cmp.Or(s.membership, "leave")
	return nil
}

// Membership is how the user stands to the room, "leave" for one who never had to do with it.
func (s *Sight) Membership() string { return s.membership }

// joinedSince says whether the user was joined at some time after a position. Who is joined now was.
func (s *Sight) joinedSince(ctx context.Context, at persistence.Position) (bool, error) {
	if s.membership == "join" {
		return true, nil
	}
	if err := s.gather(ctx); err != nil {
		return false, err
	}
	for i, m := range s.stays {
		if m.Membership == "join" && (i == len(s.stays)-1 || s.stays[i+1].Position > at) {
			return true, nil
		}
	}
	return false, nil
}

// Sees says whether the user may see an event (M-112): by the state before it, or for their own membership and for the setting itself
// either side of it. Nobody sees what soft-failed or was rejected (S-30), nor what has no place in the room, but what they were told when
// it had one.
func (s *Sight) Sees(ctx context.Context, p *pdu.Placed) (bool, error) {
	if p.Outcome != pdu.Accepted || p.Event.RoomID() != s.room {
		return false, nil
	}
	if p.Outlier {
		return s.wasTold(ctx, p)
	}
	setting, err := s.setting(ctx, p.Before)
	if err != nil {
		return false, fmt.Errorf("visibility of %s: %w", p.Event.ID(), err)
	}
	setting = visibility.For(p.Event, setting)
	later, err := s.joinedSince(ctx, p.Position)
	if err != nil {
		return false, err
	}
	at := s.own(p.Event)
	if !visibility.Decide(setting, at, later).Visible {
		member, err := s.MembershipIn(ctx, p.Before)
		if err != nil {
			return false, fmt.Errorf("visibility of %s: %w", p.Event.ID(), err)
		}
		at = max(at, standing(member))
	}
	return visibility.Decide(setting, at, later).Visible || s.isOwn(p.Event), nil
}

// wasTold says whether the user was in the room when an event came that has lost its place since: it came in a stay that ended before the
// room's members were known, and has no state before it until it is fetched as history.
func (s *Sight) wasTold(ctx context.Context, p *pdu.Placed) (bool, error) {
	if p.Position == 0 {
		return false, nil
	}
	if err := s.gather(ctx); err != nil {
		return false, err
	}
	joined := false
	for _, m := range s.stays {
		if m.Position <= p.Position {
			joined = m.Membership == "join"
		}
	}
	return joined || s.isOwn(p.Event), nil
}

// isOwn says whether an event is about the user's own membership: who was invited or removed is to know by whom.
func (s *Sight) isOwn(e *event.Event) bool {
	return e.IsState(event.StateKey{Type: "m.room.member", Key: string(s.user)})
}

func (s *Sight) own(e *event.Event) visibility.Standing {
	if !s.isOwn(e) {
		return visibility.Outside
	}
	return visibility.StandingOf(e)
}

func standing(membership string) visibility.Standing {
	switch membership {
	case "join":
		return visibility.IsJoined
	case "invite":
		return visibility.IsInvited
	}
	return visibility.Outside
}

func (s *Sight) setting(ctx context.Context, root state.Root) (visibility.Setting, error) {
	if setting, ok := s.settings[root]; ok {
		return setting, nil
	}
	e, err := s.v.Slot(ctx, root, visibility.Slot)
	if err != nil {
		return visibility.Joined, err
	}
	s.settings[root] = visibility.SettingOf(e)
	return s.settings[root], nil
}

// MembershipIn is the user's membership in a state, "leave" for none.
func (s *Sight) MembershipIn(ctx context.Context, root state.Root) (string, error) {
	if member, ok := s.members[root]; ok {
		return member, nil
	}
	e, err := s.v.Slot(ctx, root, event.StateKey{Type: "m.room.member", Key: string(s.user)})
	if err != nil {
		return "", err
	}
	s.members[root] = "leave"
	if e != nil {
		member, _ := e.Membership()
		s.members[root] = member.Membership
	}
	return s.members[root], nil
}
