// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Send builds an event on the current extremities, judges it like any other, stores it and queues it for the other servers of
// the room: when Send returns, that is durable. A room's policy server is asked before (M-101). Errors: ErrUnknownRoom,
// ErrNotJoined; *NotAllowed when the rules refuse it; *PolicyError when the policy server does, or cannot be reached.
func (e *Engine) Send(ctx context.Context, id ident.RoomID, d Draft) (*event.Event, error) {
	var sent *event.Event
	err := e.acceptSigned(ctx, id, func(b *batch) (*event.Event, error) {
		if err := b.mustBeJoined(); err != nil {
			return nil, err
		}
		return b.build(d)
	}, func(b *batch, built *event.Event) error {
		if err := b.mustBeJoined(); err != nil {
			return err
		}
		r, err := b.accept(built, "")
		if err == nil {
			sent = r.event
			b.keep(d, r)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return sent, nil
}

// CreateRoom builds the create event and then the drafts in order, the first of which is the creator's join, in one job. create
// is the content of the create event, a JSON object, in which room_version and, up to room version 10, creator are filled in.
// The ids are those of all events in order. *NotAllowed when the rules refuse one of them: then there is no room.
func (e *Engine) CreateRoom(ctx context.Context, version string, creator ident.UserID, create []byte, drafts []Draft) (
	ident.RoomID, []ident.EventID, error,
) {
	for ts := nowMS(); ; ts++ {
		first, err := e.buildCreate(version, creator, create, ts)
		if err != nil {
			return "", nil, err
		}
		ids, err := e.establish(ctx, first, drafts)
		if errors.Is(err, errRoomTaken) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		return first.RoomID(), ids, nil
	}
}

// errRoomTaken: there is a room of that id. Ids that are hashes are equal when one user makes two rooms with the same
// content in the same millisecond; a millisecond later they are not.
var errRoomTaken = errors.New("the room exists")

// establish makes the room of a create event with what follows it.
func (e *Engine) establish(ctx context.Context, first *event.Event, drafts []Draft) ([]ident.EventID, error) {
	ids := []ident.EventID{first.ID()}
	err := e.do(ctx, first.RoomID(), true, func(b *batch) error {
		if b.head.nid != 0 {
			return errRoomTaken
		}
		b.head.version, b.head.membership = first.Version(), Joined
		if _, err := b.accept(first, ""); err != nil {
			return err
		}
		for _, d := range drafts {
			r, err := b.send(d)
			if err != nil {
				return fmt.Errorf("%s: %w", d.Type, err)
			}
			ids = append(ids, r.event.ID())
		}
		return nil
	})
	return ids, err
}

func (e *Engine) buildCreate(version string, creator ident.UserID, content []byte, ts int64) (*event.Event, error) {
	v, ok := event.VersionOf(version)
	if !ok {
		return nil, fmt.Errorf("room version %q is not known", version)
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(content, &members); err != nil {
		return nil, fmt.Errorf("content of the create event: %w", err)
	}
	members["room_version"] = canonicaljson.AppendString(nil, version)
	if v.CreatorInContent {
		members["creator"] = canonicaljson.AppendString(nil, string(creator))
	}
	content, err := canonicaljson.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("content of the create event: %w", err)
	}
	p := event.Proto{
		Sender: creator, Type: createSlot.Type, StateKey: &createSlot.Key, Content: content, Depth: 1,
		OriginServerTS: ts,
	}
	if !v.HashRoomID {
		p.RoomID = ident.RoomID("!" + rand.Text() + ":" + string(e.self))
	}
	return event.Build(v, p, e.self, e.key.SigningKey())
}

func (b *batch) mustBeJoined() error {
	switch {
	case b.head.nid == 0:
		return ErrUnknownRoom
	case b.head.membership != Joined:
		return ErrNotJoined
	}
	return nil
}

// send builds an event and has it accepted.
func (b *batch) send(d Draft) (*record, error) {
	built, err := b.build(d)
	if err != nil {
		return nil, err
	}
	r, err := b.accept(built, "")
	if err == nil {
		b.keep(d, r)
	}
	return r, err
}

// keep has a draft's Kept run with the job.
func (b *batch) keep(d Draft, r *record) {
	if d.Kept != nil {
		b.with = append(b.with, func(tx *persistence.Tx) error { return d.Kept(tx, r.event) })
	}
}

func (b *batch) build(d Draft) (*event.Event, error) {
	p, _, err := b.proto(d)
	if err != nil {
		return nil, err
	}
	return event.Build(b.head.version, p, b.e.self, b.e.key.SigningKey())
}

// proto is an event on all forward extremities, within the cap (P-06), resting on what the rules ask for (P-35), with the state
// before it.
func (b *batch) proto(d Draft) (event.Proto, state.Root, error) {
	p := event.Proto{
		RoomID: b.id, Sender: d.Sender, Type: d.Type, StateKey: d.StateKey, Content: d.Content, Redacts: d.Redacts,
		OriginServerTS: b.now.UnixMilli(),
	}
	parents := slices.Clone(b.head.extremities)
	slices.SortFunc(parents, func(x, y *extremity) int { // the deepest first: what is left out is merged by later events
		return cmp.Compare(y.record.event.Depth(), x.record.event.Depth())
	})
	parents = parents[:min(len(parents), maxOwnPrevEvents)]
	roots := make([]state.Root, len(parents))
	for i, x := range parents {
		roots[i] = x.record.after
		p.PrevEvents = append(p.PrevEvents, x.ref)
		p.Depth = max(p.Depth, x.record.event.Depth())
	}
	p.Depth = min(p.Depth, b.head.version.MaxDepth-1) + 1 // P-05
	before, err := b.resolve(roots)
	if err != nil {
		return event.Proto{}, state.Root{}, err
	}
	content, err := canonicaljson.Parse(d.Content, b.head.version.Rules)
	if err != nil {
		return event.Proto{}, state.Root{}, fmt.Errorf("content of %s: %w", d.Type, err)
	}
	if issued := auth.CheckIssued(d.Type, content); !issued.OK {
		return event.Proto{}, state.Root{}, &NotAllowed{Verdict{
			Room: b.id, Outcome: Rejected, Origin: b.e.self, Checks: []Check{checkOf(issued.Rule, issued)},
		}}
	}
	for _, slot := range auth.Needed(b.head.version, d.Type, d.StateKey, d.Sender, content) {
		id, ok, err := state.Get(b, before, slot)
		if err != nil {
			return event.Proto{}, state.Root{}, err
		}
		if !ok {
			continue
		}
		r, err := b.stored(id)
		if err != nil {
			return event.Proto{}, state.Root{}, err
		}
		p.AuthEvents = append(p.AuthEvents, r.event.Ref())
	}
	return p, before, nil
}

// judgeOwn judges an event that someone waits for, and changes nothing. *NotAllowed when it is not accepted.
func (b *batch) judgeOwn(e *event.Event, from ident.ServerName) (*record, Verdict, error) {
	own := &record{room: b.head.nid, event: e, redacted: e.HashMismatch()}
	if r, err := b.record(e.ID()); err != nil {
		return nil, Verdict{}, err
	} else if r != nil {
		own.nid, own.rewritten = r.nid, r.by == "" // it was staged on another way
		if b.restored[e.ID()] = r.reduced() && !own.redacted; r.by != "" {
			own.event, own.by = r.event, r.by
		}
	}
	v := Verdict{
		Event: e.ID(), Room: b.id, Redacted: own.redacted, Origin: b.e.self, Via: arrivedFromUser,
		JudgedAt: b.now.UnixMilli(), ReceivedAt: b.now.UnixMilli(),
	}
	if from != "" {
		v.Origin, v.Via = from, arrivedAsRequest
	}
	if err := b.judge(own, &v); err != nil {
		return nil, Verdict{}, err
	}
	if own.outcome != Accepted {
		return nil, Verdict{}, errors.Join(b.explain(own, &v), &NotAllowed{v})
	}
	return own, v, nil
}

// accept judges an event that someone waits for, adds it to the room and queues it for the other servers but from, who has
// it. Unless the event is accepted, nothing is changed.
func (b *batch) accept(e *event.Event, from ident.ServerName) (*record, error) {
	own, v, err := b.judgeOwn(e, from)
	if err != nil {
		return nil, err
	}
	if err := b.countMembers(); err != nil {
		return nil, err
	}
	to := b.receivers(e, from)
	b.fresh[e.ID()] = own
	b.order = append(b.order, own)
	b.settled[e.ID()] = judged{verdict: v, waited: own.nid != 0}
	if own.nid != 0 {
		b.unstaged = append(b.unstaged, unstaging{own.nid, true})
	}
	b.cite(own)
	if len(to) > 0 {
		b.sends = append(b.sends, sending{e, to})
	}
	if b.broken = b.place(own); b.broken != nil {
		return nil, b.broken
	}
	return own, nil
}

// receivers is who gets an event: the servers with joined members before it (T-14), and for a leave, kick or ban the server of
// the user whom it concerns.
func (b *batch) receivers(e *event.Event, from ident.ServerName) []ident.ServerName {
	to := maps.Clone(b.head.servers)
	if to == nil {
		to = map[ident.ServerName]int{}
	}
	if member, ok := e.Membership(); ok && (member.Membership == "leave" || member.Membership == "ban") {
		key, _ := e.StateKey()
		if target, err := ident.ParseUserID(key); err == nil {
			to[target.Server()] = 1
		}
	}
	delete(to, b.e.self)
	delete(to, from)
	return slices.Sorted(maps.Keys(to))
}
