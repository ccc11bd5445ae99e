// SPDX-License-Identifier: Apache-2.0

package push

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// The kinds of rule, in the order in which they are asked.
const (
	KindOverride  = "override"
	KindContent   = "content"
	KindRoom      = "room"
	KindSender    = "sender"
	KindUnderride = "underride"
)

var kinds = []string{KindOverride, KindContent, KindRoom, KindSender, KindUnderride}

// Rule is one push rule, as clients see it.
type Rule struct {
	ID         string            `json:"rule_id"`
	Default    bool              `json:"default"`
	Enabled    bool              `json:"enabled"`
	Actions    []json.RawMessage `json:"actions"`
	Conditions []Condition       `json:"conditions,omitempty"` // of override and underride
	Pattern    string            `json:"pattern,omitempty"`    // of content
}

// Condition is one of a rule's conditions, which all must hold.
type Condition struct {
	Kind    string          `json:"kind"`
	Key     string          `json:"key,omitempty"`
	Pattern *string         `json:"pattern,omitempty"` // of event_match
	Value   json.RawMessage `json:"value,omitempty"`   // of event_property_is, event_property_contains
	Is      string          `json:"is,omitempty"`      // of room_member_count
}

// Ruleset is a user's rules by kind, in order.
type Ruleset map[string][]Rule

// find gives a rule by kind and id.
func (s Ruleset) find(kind, id string) (Rule, bool) {
	i := slices.IndexFunc(s[kind], func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return Rule{}, false
	}
	return s[kind][i], true
}

// Changes is what a user has made of the defaults: rules of their own, and default rules that are switched or do something else.
// It is what is stored, so that new defaults reach everybody.
type Changes struct {
	Own      map[string][]Rule         `json:"own,omitempty"`      // by kind, in order
	Defaults map[string]map[string]Set `json:"defaults,omitempty"` // by kind and rule
}

// Set is what was set of a default rule.
type Set struct {
	Enabled *bool             `json:"enabled,omitempty"`
	Actions []json.RawMessage `json:"actions,omitempty"` // nil leaves them; an empty list is none
}

// Rules gives the rules of a user: the master rule, the user's own of each kind, then the defaults.
func (c Changes) Rules(user ident.UserID) Ruleset {
	rules := Ruleset{}
	for _, kind := range kinds {
		list := []Rule{}
		defaults := defaultRules(kind, user)
		for i, rule := range defaults {
			defaults[i] = c.Defaults[kind][rule.ID].applied(rule)
		}
		if kind == KindOverride {
			list, defaults = append(list, defaults[0]), defaults[1:] // .m.rule.master goes before what is the user's own
		}
		rules[kind] = append(append(list, c.Own[kind]...), defaults...)
	}
	return rules
}

func (s Set) applied(rule Rule) Rule {
	if s.Enabled != nil {
		rule.Enabled = *s.Enabled
	}
	if s.Actions != nil {
		rule.Actions = s.Actions
	}
	return rule
}

// isDefault tells whether a rule is the server's.
func isDefault(id string) bool { return strings.HasPrefix(id, ".") }

// enable switches a rule, which there is.
func (c *Changes) enable(kind, id string, enabled bool) {
	if isDefault(id) {
		c.change(kind, id, func(s *Set) { s.Enabled = &enabled })
		return
	}
	c.changeOwn(kind, id, func(r *Rule) { r.Enabled = enabled })
}

// act sets what a rule, which there is, does.
func (c *Changes) act(kind, id string, actions []json.RawMessage) {
	if isDefault(id) {
		c.change(kind, id, func(s *Set) { s.Actions = actions })
		return
	}
	c.changeOwn(kind, id, func(r *Rule) { r.Actions = actions })
}

func (c *Changes) change(kind, id string, f func(*Set)) {
	if c.Defaults == nil {
		c.Defaults = map[string]map[string]Set{}
	}
	if c.Defaults[kind] == nil {
		c.Defaults[kind] = map[string]Set{}
	}
	set := c.Defaults[kind][id]
	f(&set)
	c.Defaults[kind][id] = set
}

func (c *Changes) changeOwn(kind, id string, f func(*Rule)) {
	for i := range c.Own[kind] {
		if c.Own[kind][i].ID == id {
			f(&c.Own[kind][i])
		}
	}
}

// put adds a rule, or takes another's place under its id. It goes before or after another of the user's rules, or to the front; a
// rule that was there and is to go nowhere else stays where it is. ok is false when there is no such other rule.
func (c *Changes) put(kind string, rule Rule, before, after string) (ok bool) {
	list := c.Own[kind]
	at := slices.IndexFunc(list, func(r Rule) bool { return r.ID == rule.ID })
	if at >= 0 {
		rule.Enabled = list[at].Enabled
		list = slices.Delete(slices.Clone(list), at, at+1)
	}
	place := max(at, 0)
	if other := before + after; other != "" { // only one of them is given
		place = slices.IndexFunc(list, func(r Rule) bool { return r.ID == other })
		if place < 0 {
			return false
		}
		if after != "" {
			place++
		}
	}
	if c.Own == nil {
		c.Own = map[string][]Rule{}
	}
	c.Own[kind] = slices.Insert(list, place, rule)
	return true
}

// remove deletes a rule of the user's own.
func (c *Changes) remove(kind, id string) {
	c.Own[kind] = slices.DeleteFunc(c.Own[kind], func(r Rule) bool { return r.ID == id })
}
