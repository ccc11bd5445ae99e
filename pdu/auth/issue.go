// SPDX-License-Identifier: Apache-2.0

package auth

import "github.com/strata-matrix/strata/transport/canonicaljson"

// maxLevel bounds the levels that an event may name, on both sides of zero (client-server API, "m.room.power_levels"; P-56).
const maxLevel = 1<<53 - 1

// CheckIssued holds a server's own events to more than the rules ask of those of others: power levels are issued as integers
// only, also in the room versions that accept strings and fractions (server-server API, "Definitions"; P-36).
func CheckIssued(typ string, content canonicaljson.Value) Result {
	if typ != typePowerLevels {
		return allow("P-36", "no rule about issuing events of this type")
	}
	for _, scalar := range scalars {
		if level := content.Get(scalar.name); content.Has(scalar.name) && !isIntegerLevel(level) {
			return deny("P-36", "%s is %s, not an integer", scalar.name, level.Canonical())
		}
	}
	for _, table := range [...]string{tableEvents, tableNotifications, tableUsers} {
		if content.Has(table) && content.Get(table).Kind() != canonicaljson.Object {
			return deny("P-36", "%s is not an object", table)
		}
		for key, level := range content.Get(table).Members() {
			if !isIntegerLevel(level) {
				return deny("P-36", "%s[%q] is %s, not an integer", table, key, level.Canonical())
			}
		}
	}
	return allow("P-36", "every level is an integer")
}

func isIntegerLevel(v canonicaljson.Value) bool {
	n, ok := v.Int()
	return ok && -maxLevel <= n && n <= maxLevel
}
