// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"math"
	"strconv"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Level is a power level: what a user has, or what an action requires. Levels compare as numbers.
type Level int64

// Infinite is the power of the creators of a version 12 room. It is above every level that an event can name: those
// stay within ±(2^53−1) (P-56).
const Infinite Level = math.MaxInt64

// What cannot be read (event.Unreadable) speaks against whoever needs it: as a level that is required nobody reaches it, and a user
// who has it has less than any level.
const (
	unreadable Level = event.Unreadable
	noPower    Level = math.MinInt64
)

// The levels that hold where the power levels of a room name none, or the room has none (P-54).
const (
	defaultUsers   Level = 0
	defaultEvents  Level = 0
	defaultInvite  Level = 0
	defaultState   Level = 50
	defaultKick    Level = 50
	defaultBan     Level = 50
	defaultRedact  Level = 50
	defaultCreator Level = 100 // of the creator while the room has no power levels; version 12: Infinite
)

// String is the number, or "∞", or "unreadable".
func (l Level) String() string {
	switch l {
	case Infinite:
		return "∞"
	case unreadable, noPower:
		return "unreadable"
	}
	return strconv.FormatInt(int64(l), 10)
}

// Power is the power of a user in a room with this create event and this power level event, either of which may be nil. Where
// the content of power cannot be read, everyone but an Infinite creator has 0; no accepted event is like that.
func Power(user ident.UserID, create, power *event.Event) Level {
	l, err := newLevels(create, power)
	if err != nil {
		if l.isPrivileged(user) {
			return Infinite
		}
		return defaultUsers
	}
	if power := l.of(user); power != noPower {
		return power
	}
	return defaultUsers
}

// RequiredPower is the power that sending an event of the type requires, m.room.member apart, which has its own rules.
func RequiredPower(typ string, isState bool, power *event.Event) Level {
	return readLevels(power).required(typ, isState)
}

// InviteLevel is the power that inviting requires.
func InviteLevel(power *event.Event) Level { return readLevels(power).invite() }

// KickLevel is the power that kicking requires.
func KickLevel(power *event.Event) Level { return readLevels(power).kick() }

// BanLevel is the power that banning and unbanning require.
func BanLevel(power *event.Event) Level { return readLevels(power).ban() }

// RedactLevel is the power that redacting the events of other servers requires.
func RedactLevel(power *event.Event) Level { return readLevels(power).redact() }

// CanInvite says whether the user is joined and has the invite level: what inviting takes, and authorising a restricted join
// (P-45).
func CanInvite(user ident.UserID, state State) bool {
	power := state.Event(powerSlot)
	return membershipIn(state, user) == membershipJoin &&
		Power(user, state.Event(createSlot), power) >= InviteLevel(power)
}

// levels answers all questions about power from a room's create and power level events.
type levels struct {
	create *event.Event
	power  *event.PowerLevels // nil: the room has no power levels, the defaults hold
}

func newLevels(create, power *event.Event) (levels, error) {
	if power == nil {
		return levels{create: create}, nil
	}
	content, err := power.PowerLevels()
	return levels{create: create, power: content}, err
}

// readLevels is for questions that do not depend on the create event.
func readLevels(power *event.Event) levels {
	l, _ := newLevels(nil, power)
	return l
}

// of is the power of a user: a privileged creator's, else what users says, else users_default.
func (l levels) of(user ident.UserID) Level {
	if l.isPrivileged(user) {
		return Infinite
	}
	if l.power == nil {
		if l.create != nil && user != "" && creatorOf(l.create) == user {
			return defaultCreator
		}
		return defaultUsers
	}
	if level, ok := l.power.Users[user]; ok {
		return Level(level)
	}
	if level := orDefault(l.power.UsersDefault, defaultUsers); level != unreadable {
		return level
	}
	return noPower
}

// required is the power that an event of the type takes: what events says, else the default of state or message events.
func (l levels) required(typ string, isState bool) Level {
	if l.power != nil {
		if l.power.NoEvents {
			return unreadable
		}
		if level, ok := l.power.Events[typ]; ok {
			return Level(level)
		}
	}
	switch {
	case isState && l.power != nil:
		return orDefault(l.power.StateDefault, defaultState)
	case isState:
		return defaultState
	case l.power != nil:
		return orDefault(l.power.EventsDefault, defaultEvents)
	}
	return defaultEvents
}

func (l levels) invite() Level {
	if l.power == nil {
		return defaultInvite
	}
	return orDefault(l.power.Invite, defaultInvite)
}

func (l levels) kick() Level {
	if l.power == nil {
		return defaultKick
	}
	return orDefault(l.power.Kick, defaultKick)
}

func (l levels) ban() Level {
	if l.power == nil {
		return defaultBan
	}
	return orDefault(l.power.Ban, defaultBan)
}

func (l levels) redact() Level {
	if l.power == nil {
		return defaultRedact
	}
	return orDefault(l.power.Redact, defaultRedact)
}

func orDefault(level *int64, otherwise Level) Level {
	if level == nil {
		return otherwise
	}
	return Level(*level)
}
