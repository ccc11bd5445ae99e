// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Send sends a message event, one without a state key, as a user of this server who is in the room. Content is anything that
// encoding/json makes an object of; a json.RawMessage is taken as it is. When it returns, the event is durable and queued for
// every server in the room.
//
// Errors: a *pdu.NotAllowed says which rule of the room refused, with the values it rests on; a *pdu.PolicyError has the words of
// the room's policy server, or says that it could not be asked; pdu.ErrUnknownRoom, pdu.ErrNotJoined, ErrNotOurs.
func (s *Server) Send(ctx context.Context, room ident.RoomID, sender ident.UserID, eventType string, content any) (ident.EventID, error) {
	id, err := s.send(ctx, room, pdu.Draft{Type: eventType, Sender: sender}, content)
	if err != nil {
		return "", fmt.Errorf("send %s to %s: %w", eventType, room, err)
	}
	return id, nil
}

// SendState sends a state event, which takes the place of the one before it with the same type and state key; otherwise as Send.
// Joining and leaving have calls of their own, Join and Leave.
func (s *Server) SendState(ctx context.Context, room ident.RoomID, sender ident.UserID, eventType, stateKey string, content any) (ident.EventID, error) {
	id, err := s.send(ctx, room, pdu.Draft{Type: eventType, StateKey: &stateKey, Sender: sender}, content)
	if err != nil {
		return "", fmt.Errorf("send state %s %q to %s: %w", eventType, stateKey, room, err)
	}
	return id, nil
}

// Redact sends the redaction of an event, with a reason for people to read or "". Whether it takes effect is up to the power of
// its sender in the room.
func (s *Server) Redact(ctx context.Context, room ident.RoomID, sender ident.UserID, target ident.EventID, reason string) (ident.EventID, error) {
	content := map[string]any{}
	if reason != "" {
		content["reason"] = reason
	}
	id, err := s.send(ctx, room, pdu.Draft{Type: "m.room.redaction", Redacts: target, Sender: sender}, content)
	if err != nil {
		return "", fmt.Errorf("redact %s in %s: %w", target, room, err)
	}
	return id, nil
}

// Submit sends an event that is given whole, as a homeserver has it from a client: Send, SendState and Redact are for everything else.
// Errors: those of Send; an *event.FormatError for what is no event of the room's version.
func (s *Server) Submit(ctx context.Context, room ident.RoomID, draft pdu.Draft) (ident.EventID, error) {
	id, err := s.send(ctx, room, draft, json.RawMessage(draft.Content))
	if err != nil {
		return "", fmt.Errorf("send %s to %s: %w", draft.Type, room, err)
	}
	return id, nil
}

// send completes a draft and hands it to the engine.
func (s *Server) send(ctx context.Context, room ident.RoomID, draft pdu.Draft, content any) (id ident.EventID, err error) {
	if err := s.ours(draft.Sender); err != nil {
		return "", err
	}
	if draft.Content, err = encodeContent(content); err != nil {
		return "", err
	}
	err = s.call(ctx, func(ctx context.Context) error {
		id, err = s.sendDraft(ctx, room, draft)
		return err
	})
	return id, err
}

func (s *Server) sendDraft(ctx context.Context, room ident.RoomID, draft pdu.Draft) (ident.EventID, error) {
	sent, err := s.engine.Send(ctx, room, draft)
	if err != nil {
		return "", err
	}
	return sent.ID(), nil
}

// encodeContent makes the content of an event, which is an object with integers only.
func encodeContent(content any) ([]byte, error) {
	encoded, err := canonicaljson.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	if encoded[0] != '{' {
		return nil, fmt.Errorf("content: %.40s is not an object", encoded)
	}
	return encoded, nil
}
