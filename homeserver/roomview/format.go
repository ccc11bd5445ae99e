// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Format says how events are written.
type Format struct {
	Now        int64 // ms, for their age
	RoomID     bool  // with room_id; a sync's events are without (S-12)
	Federation bool  // raw, as servers exchange them, with an unsigned of our own

	// Bundles is what events come with that relates to them.
	Bundles Bundles

	// Transaction gives the transaction id under which the asking device sent an event, "" for none. Nil: none.
	Transaction func(ctx context.Context, e *event.Event) (string, error)
}

// Write is an event as the user gets it (CS "Room event format", S-12).
func (s *Sight) Write(ctx context.Context, p *pdu.Placed, f Format) (json.RawMessage, error) {
	unsigned, err := s.unsigned(ctx, p, f)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", p.Event.ID(), err)
	}
	return AppendEvent(nil, p.Event, f, unsigned), nil
}

// WriteState is a state event as it stands in a state, rather than in a timeline: nothing of it is relative to its place.
func (s *Sight) WriteState(ctx context.Context, p *pdu.Placed, f Format) (json.RawMessage, error) {
	return s.Write(ctx, p, f)
}

// AppendEvent writes an event with what is unsigned of it, a JSON object or nil.
func AppendEvent(dst []byte, e *event.Event, f Format, unsigned []byte) []byte {
	if f.Federation {
		dst = append(dst, e.JSON()...)
		if unsigned != nil {
			dst = append(append(append(dst[:len(dst)-1], `,"unsigned":`...), unsigned...), '}')
		}
		return dst
	}
	target, redacts := e.Redacts()
	dst = append(append(dst, `{"content":`...), contentOf(e, string(target), redacts)...)
	dst = canonicaljson.AppendString(append(dst, `,"event_id":`...), string(e.ID()))
	dst = strconv.AppendInt(append(dst, `,"origin_server_ts":`...), e.OriginServerTS(), 10)
	if redacts {
		dst = canonicaljson.AppendString(append(dst, `,"redacts":`...), string(target))
	}
	if f.RoomID {
		dst = canonicaljson.AppendString(append(dst, `,"room_id":`...), string(e.RoomID()))
	}
	dst = canonicaljson.AppendString(append(dst, `,"sender":`...), string(e.Sender()))
	if key, ok := e.StateKey(); ok {
		dst = canonicaljson.AppendString(append(dst, `,"state_key":`...), key)
	}
	dst = canonicaljson.AppendString(append(dst, `,"type":`...), e.Type())
	if unsigned != nil {
		dst = append(append(dst, `,"unsigned":`...), unsigned...)
	}
	return append(dst, '}')
}

// contentOf is an event's content. A redaction names its target there and at the top, whatever the room version says (P-63).
func contentOf(e *event.Event, target string, redacts bool) []byte {
	content := e.Content().Canonical()
	if !redacts || e.Content().Has("redacts") {
		return content
	}
	named := canonicaljson.AppendString([]byte(`{"redacts":`), target)
	if e.Content().Len() == 0 {
		return append(named, '}')
	}
	return append(append(named, ','), content[1:]...)
}

// unsigned is what this server says about an event to this user.
func (s *Sight) unsigned(ctx context.Context, p *pdu.Placed, f Format) ([]byte, error) {
	dst := strconv.AppendInt([]byte(`{"age":`), max(0, f.Now-p.Event.OriginServerTS()), 10)
	if !p.Outlier {
		member, err := s.membershipAt(ctx, p)
		if err != nil {
			return nil, err
		}
		dst = canonicaljson.AppendString(append(dst, `,"membership":`...), member)
	}
	dst, err := s.replaced(ctx, dst, p)
	if err != nil {
		return nil, err
	}
	if p.RedactedBy != "" {
		by, err := s.v.engine.Placed(ctx, p.RedactedBy)
		if err != nil {
			return nil, err
		}
		dst = AppendEvent(append(dst, `,"redacted_because":`...), by.Event, f, nil)
	}
	if dst, err = s.appendBundle(ctx, dst, p, f); err != nil {
		return nil, err
	}
	if f.Transaction != nil && p.Event.Sender() == s.user {
		txn, err := f.Transaction(ctx, p.Event)
		if err != nil {
			return nil, err
		}
		if txn != "" {
			dst = canonicaljson.AppendString(append(dst, `,"transaction_id":`...), txn)
		}
	}
	return append(dst, '}'), nil
}

// appendBundle adds what relates to an event, each event of it as the user gets it.
func (s *Sight) appendBundle(ctx context.Context, dst []byte, p *pdu.Placed, f Format) ([]byte, error) {
	b, ok := f.Bundles[p.Event.ID()]
	if !ok {
		return dst, nil
	}
	type listed struct {
		Event ident.EventID `json:"event_id"`
	}
	type references struct {
		Chunk []listed `json:"chunk"`
	}
	type thread struct {
		Latest       json.RawMessage `json:"latest_event"`
		Count        int             `json:"count"`
		Participated bool            `json:"current_user_participated"`
	}
	var all struct {
		Replacement json.RawMessage `json:"m.replace,omitempty"`
		Thread      *thread         `json:"m.thread,omitempty"`
		References  *references     `json:"m.reference,omitempty"`
	}
	var err error
	if b.Replacement != nil {
		if all.Replacement, err = s.Write(ctx, b.Replacement, f); err != nil {
			return nil, err
		}
	}
	if b.Thread != nil {
		all.Thread = &thread{Count: b.Thread.Count, Participated: b.Thread.Participated}
		if all.Thread.Latest, err = s.Write(ctx, b.Thread.Latest, f); err != nil {
			return nil, err
		}
	}
	for _, id := range b.References {
		if all.References == nil {
			all.References = &references{}
		}
		all.References.Chunk = append(all.References.Chunk, listed{id})
	}
	text, err := json.Marshal(all)
	return append(append(dst, `,"m.relations":`...), text...), err
}

// membershipAt is the user's membership at an event, "including any changes caused by the event" (MSC4115).
func (s *Sight) membershipAt(ctx context.Context, p *pdu.Placed) (string, error) {
	if s.isOwn(p.Event) {
		member, _ := p.Event.Membership()
		return member.Membership, nil
	}
	return s.MembershipIn(ctx, p.Before)
}

// replaced says what stood in a state event's slot before it: its id always, its content when the user may see it.
func (s *Sight) replaced(ctx context.Context, dst []byte, p *pdu.Placed) ([]byte, error) {
	slot, isState := p.Event.Slot()
	if !isState || p.Outlier {
		return dst, nil
	}
	id, err := s.v.engine.StateIn(ctx, p.Before, slot)
	if err != nil || id == "" {
		return dst, err
	}
	before, err := s.v.engine.Placed(ctx, id)
	if err != nil {
		return nil, err
	}
	visible := s.isOwn(before.Event) && before.Outcome == pdu.Accepted // also where it came with the state of a join
	if !visible {
		if visible, err = s.Sees(ctx, &before); err != nil {
			return nil, err
		}
	}
	if visible {
		dst = append(append(dst, `,"prev_content":`...), before.Event.Content().Canonical()...)
		dst = canonicaljson.AppendString(append(dst, `,"prev_sender":`...), string(before.Event.Sender()))
	}
	return canonicaljson.AppendString(append(dst, `,"replaces_state":`...), string(id)), nil
}
