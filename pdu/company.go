// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"
	"math"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Company is the other servers with which a user of ours shares a room: who is told of what concerns the user. It reads in the job of a
// caller, who may queue for them in the same.
func (e *Engine) Company(tx *persistence.Tx, user ident.UserID) ([]ident.ServerName, error) {
	return e.companyBut(tx, user, "")
}

// NewCompany is the servers of a room with which a user of ours shares no other.
func (e *Engine) NewCompany(tx *persistence.Tx, user ident.UserID, room ident.RoomID) ([]ident.ServerName, error) {
	old, err := e.companyBut(tx, user, room)
	if err != nil {
		return nil, err
	}
	known := map[ident.ServerName]bool{}
	for _, server := range old {
		known[server] = true
	}
	all, err := e.Company(tx, user)
	if err != nil {
		return nil, err
	}
	var fresh []ident.ServerName
	for _, server := range all {
		if !known[server] {
			fresh = append(fresh, server)
		}
	}
	return fresh, nil
}

func (e *Engine) companyBut(tx *persistence.Tx, user ident.UserID, except ident.RoomID) ([]ident.ServerName, error) {
	all, err := tx.ServersAround(user, except)
	if err != nil {
		return nil, fmt.Errorf("servers around %s: %w", user, err)
	}
	var others []ident.ServerName
	for _, server := range all {
		if server != e.self {
			others = append(others, server)
		}
	}
	return others, nil
}

// Meets says whether a user of another server is joined to a room that we are in, or may be: where members are not known yet it
// believes so of everyone whose server is there. It reads in the job of a caller.
func (e *Engine) Meets(tx *persistence.Tx, user ident.UserID) (bool, error) {
	rooms, err := tx.RoomsWith(user.Server(), math.MaxInt)
	if err != nil {
		return false, fmt.Errorf("rooms of %s: %w", user, err)
	}
	return e.meetsAny(tx, rooms, user)
}

// MightMeet is Meets for questions that other servers make us ask: it believes so of every user of a server with which we share more
// than maxMeetings rooms.
func (e *Engine) MightMeet(tx *persistence.Tx, user ident.UserID) (bool, error) {
	rooms, err := tx.RoomsWith(user.Server(), maxMeetings+1)
	if err != nil {
		return false, fmt.Errorf("rooms of %s: %w", user, err)
	}
	if len(rooms) > maxMeetings {
		return true, nil
	}
	return e.meetsAny(tx, rooms, user)
}

func (e *Engine) meetsAny(tx *persistence.Tx, rooms []persistence.CommonRoom, user ident.UserID) (bool, error) {
	for _, room := range rooms {
		met, err := e.meetsIn(tx, room, user)
		if err != nil || met {
			return met, err
		}
	}
	return false, nil
}

func (e *Engine) meetsIn(tx *persistence.Tx, room persistence.CommonRoom, user ident.UserID) (bool, error) {
	var root state.Root
	copy(root[:], room.State)
	id, found, err := state.Get(nodesOfJob{e, tx}, root, event.StateKey{Type: memberType, Key: string(user)})
	if err != nil {
		return false, err
	}
	if !found {
		missing, err := partialOf(tx, room.NID)
		return missing != nil, err
	}
	r, cached := e.cache.record(id)
	if !cached {
		rows, err := tx.Events([]ident.EventID{id})
		if err != nil || len(rows) == 0 {
			return false, err
		}
		if r, err = recordOf(rows[0]); err != nil {
			return false, err
		}
	}
	return isJoin(r.event), nil
}

// nodesOfJob is the nodes as a job of another's sees them. What it reads may not be committed yet, so that it keeps nothing.
type nodesOfJob struct {
	e  *Engine
	tx *persistence.Tx
}

// Node implements state.Nodes.
func (n nodesOfJob) Node(hash state.Root) (state.Node, error) {
	if node, cached := n.e.cache.node(hash); cached {
		return node, nil
	}
	data, found, err := n.tx.StateNode(hash[:])
	if err == nil && !found {
		err = fmt.Errorf("%w: state node %x is not stored", persistence.ErrCorrupt, hash[:])
	}
	if err != nil {
		return state.Node{}, err
	}
	return state.ReadNode(hash, data)
}

// Houses says whether a server has a joined member in a room that we are in.
func (e *Engine) Houses(ctx context.Context, id ident.RoomID, server ident.ServerName) (bool, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return false, err
	}
	return head.membership == Joined && head.servers[server] > 0, nil
}

// MayAct says whether a user takes part in a room that we are in: is joined, or may be, where members are not known yet.
func (e *Engine) MayAct(ctx context.Context, id ident.RoomID, user ident.UserID) (bool, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil || head.membership != Joined || head.servers[user.Server()] == 0 {
		return false, err
	}
	member, err := e.StateEvent(ctx, id, event.StateKey{Type: memberType, Key: string(user)})
	if err != nil {
		return false, err
	}
	if member == nil {
		return head.partial != nil, nil
	}
	return isJoin(member), nil
}

// Enters says whether an event is a join of a user who was not joined before it. ErrUnknownEvent when the event, or its place in the
// graph, is not known.
func (e *Engine) Enters(ctx context.Context, id ident.EventID) (bool, error) {
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return false, err
	}
	key, isState := r.event.StateKey()
	if !isState || !isJoin(r.event) {
		return false, nil
	}
	if !r.inGraph {
		return false, fmt.Errorf("state before %s: %w", id, ErrUnknownEvent)
	}
	before, found, err := state.Get(storedNodes{ctx, e}, r.before, event.StateKey{Type: memberType, Key: key})
	if err != nil || !found {
		return err == nil, err
	}
	member, err := e.storedRecord(ctx, before)
	if err != nil {
		return false, err
	}
	return !isJoin(member.event), nil
}
