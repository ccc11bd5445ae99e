// SPDX-License-Identifier: Apache-2.0

package casefile

import (
	"fmt"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/transport/ident"
)

// checkPolicy: where the current state, or without one the state before the event, names a policy server, that has signed.
func (c *eventCase) checkPolicy(id string) (bool, error) {
	state := c.current
	if state == nil {
		state = c.before
	}
	server, enabled := policyServer(state)
	if !enabled {
		c.skip(id, "not checked: the room has no policy server")
		return true, nil
	}
	if !policy.Concerns(c.event) {
		c.add(id, auth.Result{OK: true, Rule: "M-101", Detail: "the event that names the policy server needs no signature of it"})
		return true, nil
	}
	if err := server.Check(c.event); err != nil {
		c.refuse(id, SoftFailed, "M-104", fmt.Sprintf("%v; a server would ask the policy server for it first", err))
		return false, nil
	}
	c.add(id, auth.Result{OK: true, Rule: "M-102", Detail: "signed by the policy server " + string(server.Name)})
	return true, nil
}

// policyServer is the policy server that a state names; enabled is false unless it has a user in the room (M-100).
func policyServer(state []*event.Event) (server policy.Server, enabled bool) {
	named := auth.StateOf(state).Event(policy.Slot)
	if named == nil {
		return policy.Server{}, false
	}
	if server, enabled = policy.Of(named.Content()); !enabled {
		return policy.Server{}, false
	}
	for _, e := range state {
		member, isMember := e.Membership()
		user, _ := e.StateKey()
		if isMember && member.Membership == "join" && ident.UserID(user).Server() == server.Name {
			return server, true
		}
	}
	return policy.Server{}, false
}
