// SPDX-License-Identifier: Apache-2.0

package auth

import "github.com/strata-matrix/strata/pdu/event"

// checkAliases is the rule that lets any server list its own aliases of a room, whoever of it is joined; room versions 1 to
// 5 (P-58). Later versions treat the type like any other.
func checkAliases(e *event.Event) Result {
	key, isState := e.StateKey()
	if !isState {
		return deny("P-58", "m.room.aliases has no state_key")
	}
	if server := e.Sender().Server(); key != string(server) {
		return deny("P-58", "state key %q is not the sender's server %s", key, server)
	}
	return allow("P-58", "a server lists its own aliases")
}
