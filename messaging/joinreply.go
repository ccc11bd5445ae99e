// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/jsonstream"
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
	reply := joinReply{}
	var returned canonicaljson.Value
	whole := map[string]bool{}
	listOf := func(name string, into *[]*event.Event) jsonstream.Member {
		return func(in *json.Decoder) (err error) {
			whole[name], err = true, reply.readEvents(in, join.Version(), into)
			return err
		}
	}
	err := jsonstream.Object(body, map[string]jsonstream.Member{
		"state": listOf("state", &reply.state), "auth_chain": listOf("auth_chain", &reply.authChain),
		"members_omitted": func(in *json.Decoder) error { return in.Decode(&lenientBool{&reply.omitted}) },
		"servers_in_room": reply.readServers,
		"event": func(in *json.Decoder) error {
			var text json.RawMessage
			if err := in.Decode(&text); err != nil || len(text) > maxEventBody {
				return err
			}
			// Lenient: what numbers an event may hold is for the room version, and event.Parse, to say.
			returned, _ = canonicaljson.Parse(text, canonicaljson.Lenient)
			return nil
		},
	})
	if err == nil && !(whole["state"] && whole["auth_chain"]) {
		err = errors.New("state or auth_chain is missing")
	}
	if err != nil {
		return joinReply{}, err
	}
	if !reply.omitted { // absent, the state is whole (M-12)
		reply.servers = nil
	}
	if reply.join, err = countersigned(join, returned); err != nil {
		return joinReply{}, err
	}
	reply.join = policySigned(reply.join, returned, reply.state)
	return reply, nil
}

// readEvents reads a list of events. Of more than the largest rooms have none would do: a part of a state is no state.
func (r *joinReply) readEvents(in *json.Decoder, v *event.Version, into *[]*event.Event) error {
	more, err := jsonstream.List(in, maxJoinEvents, func(text json.RawMessage) error {
		if len(text) > maxEventBody {
			r.unreadable++
			return nil
		}
		read, err := event.Parse(v, text)
		if err != nil {
			r.unreadable++
			return nil
		}
		*into = append(*into, read)
		return nil
	})
	if more {
		return fmt.Errorf("more than %d events", maxJoinEvents)
	}
	return err
}

// readServers reads a list of servers. What is no name is left out.
func (r *joinReply) readServers(in *json.Decoder) error {
	more, err := jsonstream.List(in, maxServersInRoom, func(text json.RawMessage) error {
		var name string
		if json.Unmarshal(text, &name) != nil {
			return nil
		}
		if server, err := ident.ParseServerName(name); err == nil {
			r.servers = append(r.servers, server)
		}
		return nil
	})
	if more {
		return fmt.Errorf("more than %d servers", maxServersInRoom)
	}
	return err
}

// lenientBool reads true as true and whatever else as false.
type lenientBool struct{ into *bool }

// UnmarshalJSON implements json.Unmarshaler.
func (b *lenientBool) UnmarshalJSON(text []byte) error {
	*b.into = string(text) == "true"
	return nil
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
