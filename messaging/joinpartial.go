// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// In a partial room (M-12) nobody here can say what a user is to the room of whom no member event is known: invited, or banned. What
// such a user wants is asked of a server that knows. So is a join to which none of our users can agree, though another's might (M-13).

// knowsMember says whether the state of a room tells what a user is to it.
func (s *Server) knowsMember(ctx context.Context, room pdu.RoomInfo, user ident.UserID) (bool, error) {
	if !room.Partial {
		return true, nil
	}
	member, err := s.membership(ctx, room.ID, user)
	return member != "", err
}

// overResident joins, leaves or knocks on a room that we are in over another server that is. When it returns nil the server has taken
// the event, and it has its effect here, or soon will.
func (s *Server) overResident(ctx context.Context, h handshake, via []ident.ServerName) error {
	return s.overOthers(ctx, h, via, func(ctx context.Context, h handshake, via ident.ServerName) error {
		made, err := s.makeEvent(ctx, h, via)
		if err != nil {
			return err
		}
		answer, err := s.sendMembership(ctx, h, via, made)
		if err != nil {
			return err
		}
		if h.membership == "join" { // of the state nothing is needed, of the join the resident's signature
			reply, err := readJoinReply(made, answer)
			if err != nil {
				return fmt.Errorf("answer of send_join: %w", err)
			}
			made = reply.join
		}
		if err := s.engine.TakeHandedOver(ctx, via, made); err != nil {
			return err
		}
		return s.awaitHandedOver(ctx, made)
	})
}

// sendMembership hands a member event over and gives the answer.
func (s *Server) sendMembership(ctx context.Context, h handshake, via ident.ServerName, made *event.Event) ([]byte, error) {
	version := "v2"
	if h.membership == "knock" {
		version = "v1" // of which there is no other
	}
	call := transport.Call{
		Method: http.MethodPut,
		Path:   transport.Path("_matrix", "federation", version, "send_"+h.membership, string(h.room), string(made.ID())),
		Body:   made.JSON(),
	}
	if h.membership == "join" {
		call.Query = url.Values{"omit_members": {"true"}} // M-10: it may, and the rest is fetched later
		call.MaxReply, call.Timeout = maxJoinReply, joinTimeout
	}
	answer, err := s.client.Do(ctx, via, call)
	return answer.Body, err
}

// awaitHandedOver waits a while for an event to be judged: what it follows may have to be fetched first.
func (s *Server) awaitHandedOver(ctx context.Context, made *event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, handedOverPatience)
	defer cancel()
	for {
		news := s.engine.News()
		stored, err := s.engine.Event(ctx, made.ID())
		if ctx.Err() != nil || err == nil && !stored.Outlier {
			return nil
		}
		if err != nil {
			return err
		}
		poll := time.NewTimer(handedOverPoll)
		select {
		case <-news:
		case <-poll.C:
		case <-ctx.Done():
		}
		poll.Stop()
	}
}
