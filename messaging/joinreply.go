// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// joinReply is the answer to a send_join, read but not verified.
type joinReply struct {
	join       *event.Event // ours, with the signatures that the resident added and that are needed
	state      []*event.Event
	authChain  []*event.Event
	unreadable int // events left out because their format is not valid (P-25)

	omitted bool               // members are left out of the state (M-10)
	servers []ident.ServerName // who was in the room before us, if they are
}

// readJoinReply reads the answer that a resident gave for join (E-15).
func readJoinReply(join *event.Event, body []byte) (joinReply, error) {
	// Lenient: what numbers an event may hold is for the room version, and event.Parse, to say.
	root, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return joinReply{}, err
	}
	reply := joinReply{}
	if reply.omitted, _ = root.Get("members_omitted").Bool(); reply.omitted { // absent, the state is whole (M-12)
		reply.servers = serversIn(root.Get("servers_in_room"))
	}
	if reply.join, err = countersigned(join, root.Get("event")); err != nil {
		return joinReply{}, err
	}
	for _, list := range []struct {
		name string
		into *[]*event.Event
	}{
		{"state", &reply.state},
		{"auth_chain", &reply.authChain},
	} {
		events := root.Get(list.name)
		if events.Kind() != canonicaljson.Array {
			return joinReply{}, fmt.Errorf("%s is not an array", list.name)
		}
		*list.into = make([]*event.Event, 0, events.Len())
		for element := range events.Elements() {
			read, err := event.Parse(join.Version(), element.Canonical())
			if err != nil {
				reply.unreadable++
				continue
			}
			*list.into = append(*list.into, read)
		}
	}
	reply.join = policySigned(reply.join, root.Get("event"), reply.state)
	return reply, nil
}

// policySigned is the join with the signature of the room's policy server, which the resident got for it, if its copy has one
// (M-103): others who are given the join from here need not ask. Nothing else of the copy counts.
func policySigned(join *event.Event, returned canonicaljson.Value, state []*event.Event) *event.Event {
	i := slices.IndexFunc(state, func(x *event.Event) bool { return x.IsState(policy.Slot) })
	if i < 0 {
		return join
	}
	server, ok := policy.Of(state[i].Content())
	if !ok || server.Check(join) == nil {
		return join
	}
	signed, err := server.Merge(join, returned.Get("signatures").Canonical())
	if err != nil {
		return join
	}
	return signed
}

// serversIn reads a list of servers. What is no name is left out.
func serversIn(list canonicaljson.Value) (servers []ident.ServerName) {
	for element := range list.Elements() {
		if len(servers) == maxServersInRoom {
			break
		}
		text, _ := element.Text()
		if name, err := ident.ParseServerName(text); err == nil {
			servers = append(servers, name)
		}
	}
	return servers
}

// countersigned is the copy of join to use. Where another server's user authorised it, that server's signature is needed, which
// only the copy in the reply has (M-09). The copy must be the same event; whether its signatures are good is for those to find
// out who verify the whole reply.
func countersigned(join *event.Event, returned canonicaljson.Value) (*event.Event, error) {
	if member, ok := join.Membership(); !ok || member.AuthorisedVia == "" {
		return join, nil
	}
	if returned.Kind() != canonicaljson.Object {
		return nil, errors.New("the event is missing, whose signature the restricted join needs (M-09)")
	}
	signed, err := event.Parse(join.Version(), returned.Canonical())
	if err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	if signed.ID() != join.ID() || signed.HashMismatch() {
		return nil, fmt.Errorf("the event is not the one that was sent (M-09): %s, not %s", signed.ID(), join.ID())
	}
	return signed, nil
}
