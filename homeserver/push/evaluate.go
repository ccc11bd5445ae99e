// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Subject is an event with what rules ask of its room.
type Subject struct {
	Event   canonicaljson.Value // in client format or federation format: rules look at type, sender, state_key, content
	Room    ident.RoomID
	Sender  ident.UserID
	Members int // joined
	// MayNotify tells whether the sender's power level allows a notification, such as "room".
	MayNotify func(notification string) bool
}

// Verdict is what a rule says of an event.
type Verdict struct {
	Notify    bool
	Highlight bool
	Actions   []json.RawMessage // of the rule that matched
}

// Evaluate gives what the first rule that matches says of an event, for a user of that display name in the room. The user's own
// events are not to be asked about.
func (s Ruleset) Evaluate(subject Subject, displayName string) Verdict {
	for _, kind := range kinds {
		for _, rule := range s[kind] {
			if rule.Enabled && rule.matches(kind, subject, displayName) {
				return verdictOf(rule.Actions)
			}
		}
	}
	return Verdict{}
}

func verdictOf(actions []json.RawMessage) Verdict {
	v := Verdict{Actions: actions}
	for _, action := range actions {
		var word string
		var tweak struct {
			Name  string          `json:"set_tweak"`
			Value json.RawMessage `json:"value"`
		}
		switch {
		case json.Unmarshal(action, &word) == nil:
			v.Notify = v.Notify || word == "notify" || word == "coalesce" // the latter is as the former since v1.7
		case json.Unmarshal(action, &tweak) == nil && tweak.Name == "highlight":
			v.Highlight = !bytes.Equal(bytes.TrimSpace(tweak.Value), []byte("false"))
		}
	}
	v.Highlight = v.Highlight && v.Notify
	return v
}

// mentionRules are those which an event with m.mentions says nothing to: it names whom it means.
var mentionRules = map[string]bool{
	".m.rule.contains_display_name": true, ".m.rule.roomnotif": true, ".m.rule.contains_user_name": true,
}

func (r Rule) matches(kind string, subject Subject, displayName string) bool {
	content := subject.Event.Get("content")
	if mentionRules[r.ID] && content.Has("m.mentions") {
		return false
	}
	switch kind {
	case KindContent:
		body, ok := content.Get("body").Text()
		return ok && matchesWord(r.Pattern, body)
	case KindRoom:
		return r.ID == string(subject.Room)
	case KindSender:
		return r.ID == string(subject.Sender)
	}
	for _, condition := range r.Conditions {
		if !condition.holds(subject, displayName) {
			return false
		}
	}
	return true
}

// holds tells whether a condition does. Of a kind that is not known, none does.
func (c Condition) holds(subject Subject, displayName string) bool {
	switch c.Kind {
	case "event_match":
		value, ok := at(subject, c.Key).Text()
		if !ok || c.Pattern == nil {
			return false
		}
		if c.Key == "content.body" {
			return matchesWord(*c.Pattern, value)
		}
		return matchesWhole(*c.Pattern, value)
	case "event_property_is":
		return equal(at(subject, c.Key), c.Value)
	case "event_property_contains":
		list := at(subject, c.Key)
		if list.Kind() != canonicaljson.Array {
			return false
		}
		for element := range list.Elements() {
			if equal(element, c.Value) {
				return true
			}
		}
		return false
	case "contains_display_name":
		body, ok := subject.Event.Get("content").Get("body").Text()
		return ok && displayName != "" && holdsWord(strings.ToLower(body), strings.ToLower(displayName))
	case "room_member_count":
		return compares(subject.Members, c.Is)
	case "sender_notification_permission":
		return subject.MayNotify(c.Key)
	}
	return false
}

// at is the value that a key leads to: members by name, separated by dots; a backslash takes the meaning from a dot or a backslash.
func at(subject Subject, key string) canonicaljson.Value {
	value := subject.Event
	for _, name := range splitKey(key) {
		value = value.Get(name)
	}
	return value
}

func splitKey(key string) (names []string) {
	var name strings.Builder
	for i := 0; i < len(key); i++ {
		switch {
		case key[i] == '\\' && i+1 < len(key) && (key[i+1] == '.' || key[i+1] == '\\'):
			i++
			name.WriteByte(key[i])
		case key[i] == '.':
			names = append(names, name.String())
			name.Reset()
		default:
			name.WriteByte(key[i])
		}
	}
	return append(names, name.String())
}

// equal tells whether a value that is neither an array nor an object is that of a rule.
func equal(value canonicaljson.Value, want json.RawMessage) bool {
	switch value.Kind() {
	case canonicaljson.Invalid, canonicaljson.Array, canonicaljson.Object:
		return false
	}
	wanted, err := canonicaljson.Parse(want, canonicaljson.Lenient)
	return err == nil && wanted.Kind() == value.Kind() && bytes.Equal(wanted.Canonical(), value.Canonical())
}

// compares tells whether a number is as a text says: digits with ==, <, >, >= or <= before them, == if none is.
func compares(n int, is string) bool {
	digits := strings.TrimLeft(is, "<>=")
	want, err := strconv.Atoi(digits)
	if err != nil || want < 0 {
		return false
	}
	switch strings.TrimSuffix(is, digits) {
	case "", "==":
		return n == want
	case "<":
		return n < want
	case ">":
		return n > want
	case ">=":
		return n >= want
	case "<=":
		return n <= want
	}
	return false
}
