// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// Typing hears who begins and ends typing.
type Typing interface {
	// Typing tells that a user of another server, who is joined to the room, types in it or has stopped (M-50). Nobody tells when one
	// stops whose server has gone: take it for over after half a minute. It must not wait.
	Typing(ctx context.Context, room ident.RoomID, user ident.UserID, typing bool)
}

// typingNotice is the content of m.typing.
type typingNotice struct {
	Room   ident.RoomID `json:"room_id"`
	Typing bool         `json:"typing"`
	User   ident.UserID `json:"user_id"`
}

func parseTyping(edu transaction.EDU) (typingNotice, error) {
	user, err := speaker(edu.Origin, edu.Content.Get("user_id"))
	if err != nil {
		return typingNotice{}, err
	}
	text, _ := edu.Content.Get("room_id").Text()
	room, err := ident.ParseRoomID(text)
	if err != nil {
		return typingNotice{}, malformed("%v", err)
	}
	typing, ok := edu.Content.Get("typing").Bool()
	if !ok {
		return typingNotice{}, malformed("typing is not a boolean")
	}
	return typingNotice{Room: room, User: user, Typing: typing}, nil
}

func (s *Server) hearTyping(edu transaction.EDU) error {
	n, err := parseTyping(edu)
	if err != nil {
		return err
	}
	in, err := s.engine.MayAct(s.alive, n.Room, n.User)
	if err != nil {
		return err
	}
	if !in {
		return malformed("%s is not in %s", n.User, n.Room)
	}
	s.core.Typing.Typing(s.alive, n.Room, n.User, n.Typing)
	return nil
}

// SendTyping tells the servers of a room that a user of ours, who is in it, types or has stopped. It is told again as long as it goes
// on, every 20 seconds or so; nothing of it is kept.
func (s *Server) SendTyping(ctx context.Context, room ident.RoomID, user ident.UserID, typing bool) error {
	err := s.sendToRoom(ctx, room, user, transaction.Volatile{Type: eduTyping, Key: string(room) + "\x00" + string(user)},
		typingNotice{Room: room, User: user, Typing: typing})
	if err != nil {
		return fmt.Errorf("send typing of %s in %s: %w", user, room, err)
	}
	return nil
}

// sendToRoom queues something that is of use only now for the servers of a room that a user of ours is in.
func (s *Server) sendToRoom(ctx context.Context, room ident.RoomID, user ident.UserID, edu transaction.Volatile, content any) error {
	if err := s.ours(user); err != nil {
		return err
	}
	return s.call(ctx, func(ctx context.Context) error {
		in, err := s.engine.MayAct(ctx, room, user)
		if err != nil {
			return err
		}
		if !in {
			return pdu.ErrNotJoined
		}
		servers, err := s.engine.Servers(ctx, room)
		if err != nil {
			return err
		}
		return s.sendVolatile(edu, content, servers)
	})
}

func (s *Server) sendVolatile(edu transaction.Volatile, content any, servers []ident.ServerName) (err error) {
	if edu.Content, err = lenientJSON(content); err != nil {
		return err
	}
	return s.outbox.EnqueueVolatile(edu, servers)
}
