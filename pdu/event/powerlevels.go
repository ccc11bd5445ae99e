// SPDX-License-Identifier: Apache-2.0

package event

import (
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
}

// decodePowerLevels reads levels by the rules of the room version: integers; strings that hold an integer up to version 9;
// floats, truncated, up to version 5. A missing users is empty. Anything else is an error, null included
// (G-J10), whatever the key; keys are matched exactly, unknown ones ignored (G-J8).
func decodePowerLevels(v *Version, content canonicaljson.Value) (*PowerLevels, error) {
	p := &PowerLevels{}
	var err error
	for key, value := range content.Members() {
		switch key {
		case "events":
			p.Events, err = decodeLevels(v, value, func(key string) (string, error) { return key, nil })
		case "notifications":
			if v.NotificationsChecked {
				p.Notifications, err = decodeLevels(v, value, func(key string) (string, error) { return key, nil })
			}
		case "users":
			p.Users, err = decodeLevels(v, value, ident.ParseUserID)
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
	level, err := decodeLevel(v, value)
	return &level, err
}

func decodeLevels[K comparable](v *Version, object canonicaljson.Value, parse func(string) (K, error)) (map[K]int64, error) {
	if object.Kind() != canonicaljson.Object {
		return nil, fmt.Errorf("not an object: %.80s", object.Canonical())
	}
	levels := make(map[K]int64, object.Len())
	for name, value := range object.Members() {
		key, err := parse(name)
		if err != nil {
			return nil, err
		}
		if levels[key], err = decodeLevel(v, value); err != nil {
			return nil, fmt.Errorf("%.80q: %w", name, err)
		}
	}
	return levels, nil
}

func decodeLevel(v *Version, value canonicaljson.Value) (int64, error) {
	level, ok := value.Int()
	switch text, isText := value.Text(); {
	case isText && !v.IntegerPowerLevels:
		level, ok = integerIn(text)
	case !ok && value.Kind() == canonicaljson.Number && v.FloatPowerLevels:
		level, ok = truncated(string(value.Canonical()))
	}
	if !ok {
		return 0, fmt.Errorf("not a level in room version %s: %.80s", v.ID, value.Canonical())
	}
	if level < -maxInteger || level > maxInteger {
		return 0, fmt.Errorf("%d is outside ±(2^53−1)", level)
	}
	return level, nil
}

// integerIn reads a level from a string: blanks around it, a sign, leading zeros and nothing else (R-19; rooms/v1, "Power
// level strings").
func integerIn(text string) (int64, bool) {
	level, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return level, err == nil
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
