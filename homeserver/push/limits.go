// SPDX-License-Identifier: Apache-2.0

package push

// Limits of what one user keeps here.
const (
	maxRules      = 5000 // a rule for each of thousands of rooms is usual in clients that mute rooms
	maxConditions = 32   // of a rule
	maxPattern    = 1024 // bytes
	maxRuleID     = 255  // bytes, as of a room or user id
	maxPushers    = 100
	maxCached     = 10_000 // users whose rules are kept in memory

	// keptNotices is how many notifications a user can look back on: some pages of a list. For each trimEvery that are noted one user's are
	// cut down to that.
	keptNotices = 1000
	trimEvery   = 100
)
