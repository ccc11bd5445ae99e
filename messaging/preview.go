// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// previewTypes is what a room shows of itself to those outside (client-server API, "Stripped state").
var previewTypes = []string{
	"m.room.create", "m.room.join_rules", "m.room.canonical_alias", "m.room.avatar", "m.room.name", "m.room.topic", "m.room.encryption",
}

// appendPreview writes what a room shows of itself, and of a user if there is one: whole events, so that the other server can verify
// them (M-33).
func (s *Server) appendPreview(ctx context.Context, body []byte, room ident.RoomID, about ident.UserID) ([]byte, error) {
	slots := make([]event.StateKey, 0, len(previewTypes)+1)
	for _, eventType := range previewTypes {
		slots = append(slots, event.StateKey{Type: eventType})
	}
	if about != "" {
		slots = append(slots, event.StateKey{Type: "m.room.member", Key: string(about)})
	}
	body = append(body, '[')
	first := true
	for _, slot := range slots {
		shown, err := s.engine.StateEvent(ctx, room, slot)
		if err != nil {
			return nil, err
		}
		if shown == nil {
			continue
		}
		if !first {
			body = append(body, ',')
		}
		first = false
		body = append(body, shown.JSON()...)
	}
	return append(body, ']'), nil
}

// preview is what a room showed of itself, as clients are told it (M-35).
type preview struct {
	state  []json.RawMessage
	create bool    // the create event is among it, and verified
	faults []error // of what was left out
}

// readPreview reads invite_room_state or knock_room_state, and leaves out what is not a state event of the room with good signatures
// (M-33, M-21). Up to the version in which a room's id is the hash of its create event, servers send events without any signatures:
// those are taken as they are.
func (s *Server) readPreview(ctx context.Context, v *event.Version, room ident.RoomID, via ident.ServerName, list canonicaljson.Value) (preview, error) {
	var p preview
	var whole []*event.Event
	looked := 0
	for element := range list.Elements() {
		if looked++; looked > maxPreview {
			p.faults = append(p.faults, fmt.Errorf("more than %d events", maxPreview))
			break
		}
		e, err := event.Parse(v, element.Canonical())
		switch {
		case err == nil:
			err = belongs(e, room)
		case !v.HashRoomID:
			var bare json.RawMessage
			if bare, err = readStripped(element); err == nil {
				p.state = append(p.state, bare)
				continue
			}
		}
		if err != nil {
			p.faults = append(p.faults, err)
			continue
		}
		whole = append(whole, e)
	}
	return p, s.verifyPreview(ctx, &p, via, whole)
}

// belongs says what is wrong with an event as a part of a room's state.
func belongs(e *event.Event, room ident.RoomID) error {
	_, isState := e.StateKey()
	switch {
	case e.RoomID() != room:
		return fmt.Errorf("%s is of room %s", e.ID(), e.RoomID())
	case !isState:
		return fmt.Errorf("%s is no state event", e.ID())
	case e.HashMismatch():
		return fmt.Errorf("%s: its content hash does not match", e.ID())
	}
	return nil
}

// verifyPreview takes the events whose signatures are good. One whose key is not to be had is left out without being a fault: that is
// none of whoever showed it.
func (s *Server) verifyPreview(ctx context.Context, p *preview, via ident.ServerName, whole []*event.Event) error {
	waiting, cancel := context.WithTimeout(ctx, previewPatience)
	defer cancel()
	faults := event.VerifySignatures(waiting, whole, keysVia{s.ring, via})
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, e := range whole {
		switch {
		case faults[i] == nil:
			p.create = p.create || e.IsState(event.StateKey{Type: "m.room.create"})
			p.state = append(p.state, strip(e))
		case !errors.Is(faults[i], event.ErrNoKey):
			p.faults = append(p.faults, fmt.Errorf("%s: %w", e.ID(), faults[i]))
		}
	}
	return nil
}

// keysVia is the keys of servers, about which the one that showed us their events is asked where they cannot be reached.
type keysVia struct {
	ring *keys.Ring
	via  ident.ServerName
}

func (k keysVia) Keys(ctx context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	return k.ring.KeysVia(ctx, k.via, queries)
}

// readStripped reads a stripped event.
func readStripped(element canonicaljson.Value) (json.RawMessage, error) {
	sender, hasSender := element.Get("sender").Text()
	eventType, hasType := element.Get("type").Text()
	key, hasKey := element.Get("state_key").Text()
	content := element.Get("content")
	if !hasSender || !hasType || !hasKey || content.Kind() != canonicaljson.Object {
		return nil, errors.New("a stripped event needs sender, type, state_key and content")
	}
	return stripped(content, sender, eventType, key), nil
}
