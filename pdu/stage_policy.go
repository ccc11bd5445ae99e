// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"fmt"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// checkPolicy is the seventh check on receipt: where the current state names a policy server, that must have signed the event, or
// it is kept from users (server-server API, "Policy Servers"; P-30, M-100 to M-105). An event without the signature is an
// *unsignedError until the server has been asked about it, once. History, which is followed by events that are in the graph
// already, needs none: the server may have come into the room after it.
func (b *batch) checkPolicy(r *record) (auth.Result, error) {
	server, enabled, err := b.policyServer()
	gap := false
	if err == nil && enabled {
		gap, err = b.isGap(r.event.ID())
	}
	switch {
	case err != nil:
		return auth.Result{}, err
	case !enabled:
		return auth.Result{OK: true, Rule: "M-100", Detail: "the room has no policy server"}, nil
	case !policy.Concerns(r.event):
		return auth.Result{OK: true, Rule: "M-101", Detail: "the event that names the policy server needs no signature of it"}, nil
	case r.past != live || gap:
		return auth.Result{OK: true, Rule: "P-30", Detail: "the event is history"}, nil
	}
	fault := server.Check(r.event)
	if fault == nil {
		return auth.Result{OK: true, Rule: "M-102", Detail: "signed by the policy server " + string(server.Name)}, nil
	}
	if server.Name == b.e.self {
		return auth.Result{Rule: "M-106", Detail: "the room's policy server is this server, which does not act as one"}, nil
	}
	given, asked := b.answers[r.event.ID()]
	if !asked || given.server != server {
		return auth.Result{}, &unsignedError{server}
	}
	return auth.Result{Rule: "M-104", Detail: fmt.Sprintf("%v; asked for it: %v", fault, given.problem)}, nil
}

// unsignedError: an event cannot be judged before the policy server has been asked about it.
type unsignedError struct{ server policy.Server }

func (u *unsignedError) Error() string {
	return fmt.Sprintf("the policy server %s has not been asked", u.server.Name)
}

// policyAt is the policy server that a state names, as it was looked up last.
type policyAt struct {
	root    state.Root
	looked  bool
	server  policy.Server
	enabled bool
}

// policyServer is the policy server by the current state, of which the batch may have changed much (M-100).
func (b *batch) policyServer() (server policy.Server, enabled bool, err error) {
	if b.policy.looked && b.policy.root == b.head.current {
		return b.policy.server, b.policy.enabled, nil
	}
	at := &stateAt{b: b, root: b.head.current}
	found := at.Event(policy.Slot)
	if at.err != nil {
		return policy.Server{}, false, at.err
	}
	if found != nil {
		if server, enabled = policy.Of(found.Content()); enabled {
			if err := b.countMembers(); err != nil {
				return policy.Server{}, false, err
			}
			enabled = b.head.servers[server.Name] > 0
		}
	}
	b.policy = policyAt{root: b.head.current, looked: true, server: server, enabled: enabled}
	return server, enabled, nil
}

// answer is what a policy server said about an event that it had not signed: problem is nil when it has signed it now.
type answer struct {
	event   ident.EventID
	server  policy.Server
	problem error
}
