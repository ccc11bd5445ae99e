// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Join makes a user of this server join a room. Where a user of this server is in the room already that is an event like any
// other. Else the servers in via are asked in turn until one lets us in with a state that verifies: when Join returns nil, the room
// is here, and durable. A room id does not say where the room is, so via must name a server, unless the room was known before.
//
// Errors: ErrNoServer, ErrNotOurs; a *pdu.NotAllowed where the room is here and its rules refuse, a *transport.Error where it is
// here and has conditions that the user does not meet, or nobody here may authorise; otherwise the failures of all
// servers that were asked, in which errors.As finds the first *transport.Failure with its errcode.
func (s *Server) Join(ctx context.Context, user ident.UserID, room ident.RoomID, via []ident.ServerName) error {
	return s.JoinWith(ctx, user, room, nil, via)
}

// JoinWith is Join with what the member event is to say beside its membership: a display name, a reason; nil for nothing.
func (s *Server) JoinWith(ctx context.Context, user ident.UserID, room ident.RoomID, content any, via []ident.ServerName) error {
	h, err := newHandshake(room, user, "join", content)
	if err == nil {
		err = s.newcomer(user)
	}
	if err == nil {
		err = s.call(ctx, func(ctx context.Context) error { return s.join(ctx, h, via) })
	}
	if err != nil {
		return fmt.Errorf("join %s as %s: %w", room, user, err)
	}
	return nil
}

// join waits for the room's turn: of two users who join at the same time, the second finds the room here.
func (s *Server) join(ctx context.Context, h handshake, via []ident.ServerName) error {
	release, err := s.joining.take(ctx, h.room)
	if err != nil {
		return err
	}
	defer release()
	switch info, err := s.engine.Room(ctx, h.room); {
	case err == nil && info.Membership == pdu.Joined:
		if known, err := s.knowsMember(ctx, info, h.user); err != nil || !known {
			return errors.Join(err, s.overResident(ctx, h, via))
		}
		err = s.joinHere(ctx, h, info)
		if isAnothersToGrant(err) { // whose user may invite, or who is in the rooms that we are not in
			if other := s.overResident(ctx, h, via); other != nil {
				return errors.Join(err, other)
			}
			return nil
		}
		return err
	case err != nil && !errors.Is(err, pdu.ErrUnknownRoom):
		return err
	}
	return s.joinAnew(ctx, h, via)
}

// joinAnew joins a room that this server is not in. While one server after the other is asked the room stays known, so that what
// arrives in between is not refused.
func (s *Server) joinAnew(ctx context.Context, h handshake, via []ident.ServerName) error {
	defer s.progress.begin(h)()
	var most handedOver
	var taker ident.ServerName // has taken our join, of which nothing came, as far as is known
	err := s.overOthers(ctx, h, via, func(ctx context.Context, h handshake, via ident.ServerName) error {
		taken, err := s.joinOver(ctx, h, via)
		if taken > most {
			most, taker = taken, via
		}
		return err
	})
	if err == nil {
		return s.store.Update(ctx, func(tx *persistence.Tx) error { return tx.ForgetOutsiders(h.room) })
	}
	// The room is not joined whether or not the caller still waits.
	abandoned := s.engine.AbandonJoin(context.WithoutCancel(ctx), h.room)
	if errors.Is(abandoned, pdu.ErrUnknownRoom) {
		abandoned = nil
	}
	if taker != "" {
		s.takeBack(ctx, h, taker)
	}
	return errors.Join(err, abandoned)
}

// handedOver is whether a server has taken our join.
type handedOver int

const (
	notTaken handedOver = iota
	perhapsTaken
	surelyTaken
)

// takenDespite is what an error of send_join leaves open: an answer that is lost may have been a yes.
func takenDespite(err error) handedOver {
	failure, ok := errors.AsType[*transport.Failure](err)
	if !ok {
		return notTaken
	}
	switch failure.Class {
	case transport.ClassDial, transport.ClassTimeout, transport.ClassCanceled, transport.Class5xx, transport.ClassNotJSON:
		return perhapsTaken
	}
	return notTaken
}

// takeBack tells a server that may believe us to be in a room that we are not. It can only be tried.
func (s *Server) takeBack(ctx context.Context, h handshake, via ident.ServerName) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTimeout)
	defer cancel()
	defer context.AfterFunc(s.alive, cancel)()
	h.membership, h.content = "leave", map[string]any{"membership": "leave"}
	if _, err := s.leaveOver(ctx, h, via); err != nil {
		s.traceFailed(h, via, err)
	}
}

// joinHere joins a room that this server is in.
func (s *Server) joinHere(ctx context.Context, h handshake, room pdu.RoomInfo) error {
	content := maps.Clone(h.content)
	authoriser, err := s.authoriser(ctx, room, h.user)
	if err != nil {
		return err
	}
	if authoriser != "" {
		content[authoriserKey] = authoriser
	}
	draft, err := draftOf(h.user, h.user, content)
	if err != nil {
		return err
	}
	_, err = s.sendDraft(ctx, room.ID, draft)
	return err
}

// handshake is what a user of ours wants of a room that we reach over others.
type handshake struct {
	room       ident.RoomID
	user       ident.UserID
	membership string         // "join", "knock" or "leave"
	content    map[string]any // of the member event
}

func newHandshake(room ident.RoomID, user ident.UserID, membership string, wanted any) (handshake, error) {
	if _, err := ident.ParseRoomID(string(room)); err != nil {
		return handshake{}, err
	}
	content, err := memberContent(wanted, membership)
	return handshake{room: room, user: user, membership: membership, content: content}, err
}

// overOthers tries a handshake with one server after another (M-01).
func (s *Server) overOthers(ctx context.Context, h handshake, via []ident.ServerName, try func(context.Context, handshake, ident.ServerName) error) error {
	candidates, err := s.candidates(ctx, h, via)
	if err != nil {
		return err
	}
	if len(candidates) == 0 {
		return ErrNoServer
	}
	var failures []error
	for _, server := range candidates {
		err := try(ctx, h, server)
		if err == nil {
			return nil
		}
		s.traceFailed(h, server, err)
		failures = append(failures, fmt.Errorf("over %s: %w", server, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failures...)
}

func (s *Server) traceFailed(h handshake, via ident.ServerName, err error) {
	s.trace.Emit(trace.MessagingHandshakeFailed{
		Room: string(h.room), User: string(h.user), Via: string(via), Membership: h.membership, Error: err.Error(),
	})
}

// candidates are the servers to ask: those named, then those that the user's invitation came from, or that took their knock, and those
// that were in the room when we last were.
func (s *Server) candidates(ctx context.Context, h handshake, via []ident.ServerName) ([]ident.ServerName, error) {
	known, err := s.engine.Servers(ctx, h.room)
	if err != nil && !errors.Is(err, pdu.ErrUnknownRoom) {
		return nil, err
	}
	stood, outside, err := s.outsider(ctx, h.user, h.room)
	if err != nil {
		return nil, err
	}
	if outside {
		known = append([]ident.ServerName{stood.Via, stood.Sender.Server()}, known...)
	}
	seen := map[ident.ServerName]bool{s.self: true}
	var candidates []ident.ServerName
	for _, servers := range [][]ident.ServerName{via, known} {
		for _, server := range servers {
			if !seen[server] && len(candidates) < maxCandidates {
				seen[server] = true
				candidates = append(candidates, server)
			}
		}
	}
	return candidates, nil
}

// joinOver joins over one server: make_join, our event, send_join, and everything of the reply verified before the room counts
// as joined (M-17). taken says whether the server has taken our join, whatever came after.
func (s *Server) joinOver(ctx context.Context, h handshake, via ident.ServerName) (taken handedOver, err error) {
	begun := time.Now()
	s.takeStep(h, via, JoinAsks, 0)
	join, err := s.makeEvent(ctx, h, via)
	if err != nil {
		return notTaken, err
	}
	version := join.Version()
	if err := s.engine.BeginJoin(ctx, h.room, version.ID); err != nil {
		return notTaken, err
	}
	s.takeStep(h, via, JoinWaits, 0)
	answer, err := s.sendJoin(ctx, h, via, join)
	if err != nil {
		return takenDespite(err), err
	}
	reply, err := readJoinReply(join, answer)
	if err != nil {
		return surelyTaken, fmt.Errorf("answer of send_join: %w", err)
	}
	s.takeStep(h, via, JoinVerifies, len(reply.state)+len(reply.authChain))
	if err := s.adopt(ctx, version.ID, reply, via); err != nil {
		return surelyTaken, err
	}
	s.trace.Emit(trace.MessagingJoined{
		Room: string(h.room), User: string(h.user), Via: string(via), State: len(reply.state), AuthChain: len(reply.authChain),
		Unreadable: reply.unreadable, Took: time.Since(begun),
	})
	return surelyTaken, nil
}

// sendJoin hands a join over, and again when the answer is lost soon: a resident gives the same answer again, and a join that has to be
// taken back uses an invitation up.
func (s *Server) sendJoin(ctx context.Context, h handshake, via ident.ServerName, join *event.Event) ([]byte, error) {
	wait := repeatJoinAfter
	for repeats := 0; ; repeats++ {
		answer, err := s.sendMembership(ctx, h, via, join)
		failure, failed := errors.AsType[*transport.Failure](err)
		if !failed || failure.Class == transport.ClassTimeout || takenDespite(err) == notTaken || repeats == maxJoinRepeats {
			return answer, err
		}
		s.traceFailed(h, via, err)
		if pause(ctx, wait) != nil {
			return nil, err
		}
		wait *= 2
	}
}

func (s *Server) adopt(ctx context.Context, version string, reply joinReply, via ident.ServerName) error {
	if reply.omitted {
		return s.engine.AdoptPartialRoom(ctx, version, reply.join, reply.state, reply.authChain, via, reply.servers)
	}
	return s.engine.AdoptRoom(ctx, version, reply.join, reply.state, reply.authChain, via)
}

// makeEvent asks for a template and makes our event of it, signed.
func (s *Server) makeEvent(ctx context.Context, h handshake, via ident.ServerName) (*event.Event, error) {
	call := transport.Call{
		Method: http.MethodGet,
		Path:   transport.Path("_matrix", "federation", "v1", "make_"+h.membership, string(h.room), string(h.user)),
	}
	if h.membership != "leave" {
		call.Query = url.Values{"ver": event.Versions()} // M-02, M-20
	}
	answer, err := s.client.Do(ctx, via, call)
	if err != nil {
		return nil, err
	}
	version, proto, err := h.accept(answer.Body, via, s.self)
	if err != nil {
		return nil, fmt.Errorf("answer of make_%s: %w", h.membership, err)
	}
	proto.OriginServerTS = time.Now().UnixMilli()
	return event.Build(version, proto, s.self, s.own.SigningKey())
}
