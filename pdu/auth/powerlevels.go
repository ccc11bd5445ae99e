// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// checkPowerLevels is the rule of m.room.power_levels: who changes a level has at least as much power, before and after, and
// nobody takes power from an equal (P-55, P-56, R-19, R-21, R-22).
//
// A missing users is read as empty. Up to room version 9 the first power levels may hold anything outside of users (rooms/v8
// rules 9.1 and 9.2). The text does not say how to compare what is no level: then a change of power levels is refused.
func (r *room) checkPowerLevels(e *event.Event) Result {
	after, err := e.PowerLevels()
	if err != nil {
		return deny("P-55", "%v", err)
	}
	for _, creator := range r.levels.privileged() {
		if _, named := after.Users[creator]; named {
			return deny("R-22", "users names %s, who created the room and has power ∞", creator)
		}
	}
	before := r.levels.power
	if before == nil {
		return allow("P-55", "the room has no power levels yet")
	}
	if before.NoEvents || after.NoEvents || before.NoNotifications || after.NoNotifications {
		return deny("P-55", "events or notifications is no object, before or after")
	}
	c := changes{sender: e.Sender(), power: r.levels.of(e.Sender())}
	for _, scalar := range scalars {
		c.compare(scalar.name, "", scalar.of(before), scalar.of(after))
	}
	compareTables(&c, tableEvents, before.Events, after.Events)
	compareTables(&c, tableNotifications, before.Notifications, after.Notifications) // empty before version 6
	compareTables(&c, tableUsers, before.Users, after.Users)
	return c.verdict()
}

// scalars is the levels of a power level event that stand by themselves.
var scalars = [...]struct {
	name string
	of   func(*event.PowerLevels) entry
}{
	{"users_default", func(p *event.PowerLevels) entry { return entryOf(p.UsersDefault) }},
	{"events_default", func(p *event.PowerLevels) entry { return entryOf(p.EventsDefault) }},
	{"state_default", func(p *event.PowerLevels) entry { return entryOf(p.StateDefault) }},
	{"ban", func(p *event.PowerLevels) entry { return entryOf(p.Ban) }},
	{"redact", func(p *event.PowerLevels) entry { return entryOf(p.Redact) }},
	{"kick", func(p *event.PowerLevels) entry { return entryOf(p.Kick) }},
	{"invite", func(p *event.PowerLevels) entry { return entryOf(p.Invite) }},
}

// The tables of a power level event.
const (
	tableEvents        = "events"
	tableNotifications = "notifications"
	tableUsers         = "users"
)

// changes judges the entries of two power level events one after the other and keeps the first refusal. Of one table it is
// that of the smallest key, so that a verdict does not depend on the order of a map.
type changes struct {
	sender  ident.UserID
	power   Level
	refusal *refusedChange
}

type refusedChange struct {
	table, key    string
	before, after entry
}

// entry is a level as a power level event holds it, or not.
type entry struct {
	level Level
	set   bool
}

func entryOf(level *int64) entry {
	if level == nil {
		return entry{}
	}
	return entry{level: Level(*level), set: true}
}

func (e entry) String() string {
	if !e.set {
		return "none"
	}
	return e.level.String()
}

// compareTables judges the entries of a table, in whatever order.
func compareTables[K ~string](c *changes, table string, before, after map[K]int64) {
	for key, level := range before {
		c.compare(table, string(key), entry{Level(level), true}, lookUp(after, key))
	}
	for key, level := range after {
		if _, both := before[key]; !both {
			c.compare(table, string(key), entry{}, entry{Level(level), true})
		}
	}
}

func lookUp[K ~string](table map[K]int64, key K) entry {
	level, set := table[key]
	return entry{Level(level), set}
}

// compare judges one entry.
func (c *changes) compare(table, key string, before, after entry) {
	if before == after && before.level != unreadable || !c.refuses(table, key, before, after) {
		return
	}
	if c.refusal == nil || c.refusal.table == table && key < c.refusal.key {
		c.refusal = &refusedChange{table, key, before, after}
	}
}

// refuses is rules 9.3 to 9.7 of rooms/v8: neither the old nor the new level may be above the sender's power, and the level
// of another user must have been below it.
func (c *changes) refuses(table, key string, before, after entry) bool {
	if before.level == unreadable || after.level == unreadable {
		return true
	}
	if before.set && before.level > c.power || after.set && after.level > c.power {
		return true
	}
	return table == tableUsers && key != string(c.sender) && before.set && before.level == c.power
}

func (c *changes) verdict() Result {
	if c.refusal == nil {
		return allow("P-55", "the sender has the power for every level changed")
	}
	name := c.refusal.table
	if c.refusal.key != "" || name == tableUsers {
		name += fmt.Sprintf("[%q]", c.refusal.key)
	}
	return deny("P-55", "sender %s of power %s cannot change %s from %s to %s", c.sender, c.power, name,
		c.refusal.before, c.refusal.after)
}
