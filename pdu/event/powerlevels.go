// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// PowerLevels is the content of m.room.power_levels with every level as a number in ±(2^53−1) (P-56). A scalar is nil where
// the content does not name it; the defaults are the rules' business (P-54).
type PowerLevels struct {
	Ban, EventsDefault, Invite, Kick, Redact, StateDefault, UsersDefault *int64

	Events map[string]int64 // by event type
	Users  map[ident.UserID]int64
	// Notifications is empty in room versions whose rules do not look at it.
	Notifications map[string]int64

	// NoEvents and NoNotifications say that these are there, but are no objects. Like Unreadable, up to room version 9 only.
	NoEvents, NoNotifications bool
}

// Unreadable stands for a level, outside of users, that is none by the rules of the room version. Up to room version 9 these accept
// the first power levels whatever it has there (rooms/v1 rule 10.2, rooms/v8 rule 9.2); later ones do not.
const Unreadable = math.MaxInt64 - 1

// decodePowerLevels reads levels by the rules of the room version: integers; strings that hold an integer up to version 9;
// floats, truncated, up to version 5. A missing users is empty. Anything else, null included (G-J10), is an
// error from version 10 on; before, an error in users and, unless it is a number, Unreadable elsewhere. Keys are matched exactly, unknown ones ignored
// (G-J8).
func decodePowerLevels(v *Version, content canonicaljson.Value) (*PowerLevels, error) {
	p := &PowerLevels{}
	var err error
	for key, value := range content.Members() {
		switch key {
		case "events":
			p.Events, p.NoEvents, err = decodeTable(v, value)
		case "notifications":
			if v.NotificationsChecked {
				p.Notifications, p.NoNotifications, err = decodeTable(v, value)
			}
		case "users":
			p.Users, err = decodeLevels(v, value, ident.ParseUserID, decodeLevel)
		default:
			if scalar := p.scalar(key); scalar != nil {
				*scalar, err = decodeScalar(v, value)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("power level %s: %w", key, err)
		}
	}
	return p, nil
}

// scalar is where the level of this key is kept, nil if the key is not one of a level.
func (p *PowerLevels) scalar(key string) **int64 {
	switch key {
	case "ban":
		return &p.Ban
	case "events_default":
		return &p.EventsDefault
	case "invite":
		return &p.Invite
	case "kick":
		return &p.Kick
	case "redact":
		return &p.Redact
	case "state_default":
		return &p.StateDefault
	case "users_default":
		return &p.UsersDefault
	}
	return nil
}

func decodeScalar(v *Version, value canonicaljson.Value) (*int64, error) {
	level, err := decodeTolerant(v, value)
	return &level, err
}

// decodeTable reads events or notifications.
func decodeTable(v *Version, value canonicaljson.Value) (levels map[string]int64, none bool, err error) {
	if value.Kind() != canonicaljson.Object && !v.IntegerPowerLevels {
		return nil, true, nil
	}
	levels, err = decodeLevels(v, value, func(key string) (string, error) { return key, nil }, decodeTolerant)
	return levels, false, err
}

func decodeLevels[K comparable](v *Version, object canonicaljson.Value, parse func(string) (K, error),
	decode func(*Version, canonicaljson.Value) (int64, error),
) (map[K]int64, error) {
	if object.Kind() != canonicaljson.Object {
		return nil, fmt.Errorf("not an object: %.80s", object.Canonical())
	}
	levels := make(map[K]int64, object.Len())
	for name, value := range object.Members() {
		key, err := parse(name)
		if err != nil {
			return nil, err
		}
		if levels[key], err = decode(v, value); err != nil {
			return nil, fmt.Errorf("%.80q: %w", name, err)
		}
	}
	return levels, nil
}

// decodeTolerant is decodeLevel for levels outside of users. A number that is out of range is an error in every room version (P-56;
// rooms/v1, "m.room.power_levels events accept values as floats").
func decodeTolerant(v *Version, value canonicaljson.Value) (int64, error) {
	level, err := decodeLevel(v, value)
	if errors.Is(err, errNoLevel) && value.Kind() != canonicaljson.Number && !v.IntegerPowerLevels {
		return Unreadable, nil
	}
	return level, err
}

var (
	errNoLevel    = errors.New("not a level")
	errLevelRange = errors.New("outside ±(2^53−1)")
)

func decodeLevel(v *Version, value canonicaljson.Value) (int64, error) {
	level, ok := value.Int()
	switch text, isText := value.Text(); {
	case isText && !v.IntegerPowerLevels:
		var err error
		if level, err = integerIn(text); errors.Is(err, strconv.ErrRange) {
			return 0, fmt.Errorf("%.80q is %w", text, errLevelRange)
		}
		ok = err == nil
	case !ok && value.Kind() == canonicaljson.Number && v.FloatPowerLevels:
		level, ok = truncated(string(value.Canonical()))
	}
	if !ok {
		return 0, fmt.Errorf("%w in room version %s: %.80s", errNoLevel, v.ID, value.Canonical())
	}
	if level < -maxInteger || level > maxInteger {
		return 0, fmt.Errorf("%d is %w", level, errLevelRange)
	}
	return level, nil
}

// integerIn reads a level from a string: blanks around it, a sign, leading zeros and nothing else (R-19; rooms/v1, "Power
// level strings").
func integerIn(text string) (int64, error) {
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}

// truncated reads a level from a number with a fraction or an exponent. What binary64 cannot hold is none; what it can
// hold and an int64 cannot is outside the range of levels anyway.
func truncated(number string) (int64, bool) {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.Abs(f) > 2*maxInteger {
		return 0, false
	}
	return int64(f), true
}
