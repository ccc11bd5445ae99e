// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxEventBody is the cap in bytes of a body that is one event: 65,536 in canonical form (P-01), more with blanks, escapes and
// unsigned.
const maxEventBody = 256 << 10

// routes are the endpoints of this package: a resident's side of joining and leaving (E-14, E-15, E-18, E-19), invitations of our users
// (E-20 to E-23), and profiles (E-29).
// The first versions of send_join and send_leave are gone from the specification and not served.
func (s *Server) routes() []transport.Route {
	const v1, v2 = "/_matrix/federation/v1/", "/_matrix/federation/v2/"
	return slices.Concat(s.mediaRoutes(), s.keyRoutes(), s.directoryRoutes(), s.publicRoomsRoutes(), s.openIDRoutes(), []transport.Route{
		{Method: http.MethodGet, Pattern: v1 + "make_join/:roomID/:userID", Handle: s.makeJoin},
		{Method: http.MethodPut, Pattern: v2 + "send_join/:roomID/:eventID", MaxBody: maxEventBody, Handle: s.acceptJoin},
		{Method: http.MethodGet, Pattern: v1 + "make_leave/:roomID/:userID", Handle: s.makeLeave},
		{Method: http.MethodPut, Pattern: v2 + "send_leave/:roomID/:eventID", MaxBody: maxEventBody, Handle: s.acceptLeave},
		{Method: http.MethodGet, Pattern: v1 + "make_knock/:roomID/:userID", Handle: s.makeKnock},
		{Method: http.MethodPut, Pattern: v1 + "send_knock/:roomID/:eventID", MaxBody: maxEventBody, Handle: s.acceptKnock},
		{Method: http.MethodPut, Pattern: v1 + "invite/:roomID/:eventID", MaxBody: maxInviteBody, Handle: s.acceptInviteV1},
		{Method: http.MethodPut, Pattern: v2 + "invite/:roomID/:eventID", MaxBody: maxInviteBody, Handle: s.acceptInvite},
		{Method: http.MethodPut, Pattern: v1 + "exchange_third_party_invite/:roomID", MaxBody: maxEventBody, Handle: s.exchange},
		{Method: http.MethodPut, Pattern: v1 + "3pid/onbind", Open: true, MaxBody: maxBindingBody, Handle: s.bound},
		{Method: http.MethodGet, Pattern: v1 + "query/profile", Handle: s.queryProfile},
		{Method: http.MethodGet, Pattern: v1 + "hierarchy/:roomID", Handle: s.serveHierarchy},
	})
}

// makeJoin answers with the join that the room would take (M-05, M-13).
func (s *Server) makeJoin(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	user, err := userOfOrigin(r)
	if err != nil {
		return transport.Reply{}, err
	}
	room, err := s.residentRoom(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	if err := offered(r, room); err != nil {
		return transport.Reply{}, err
	}
	content := map[string]any{"membership": "join"}
	authoriser, err := s.authoriser(ctx, room, user)
	if err != nil {
		return transport.Reply{}, err
	}
	if authoriser != "" {
		content[authoriserKey] = authoriser
	}
	return s.template(ctx, room.ID, user, content)
}

// offered refuses who does not know the room's version (M-05). Who names none knows the first.
func offered(r *transport.Request, room pdu.RoomInfo) error {
	versions := r.Query["ver"]
	if len(versions) == 0 {
		versions = []string{"1"}
	}
	if slices.Contains(versions[:min(len(versions), maxVersions)], room.Version.ID) {
		return nil
	}
	return &transport.Error{
		Status: http.StatusBadRequest, Code: spec.ErrorIncompatibleRoomVersion,
		Message: "the room's version is not among those offered", Extra: map[string]any{"room_version": room.Version.ID},
	}
}

// makeLeave answers with the leave that the room would take.
func (s *Server) makeLeave(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	user, err := userOfOrigin(r)
	if err != nil {
		return transport.Reply{}, err
	}
	room, err := s.residentRoom(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	return s.template(ctx, room.ID, user, map[string]any{"membership": "leave"})
}

// template has the engine make the unsigned event. What the rules of the room refuse, it refuses.
func (s *Server) template(ctx context.Context, room ident.RoomID, user ident.UserID, content map[string]any) (transport.Reply, error) {
	draft, err := draftOf(user, user, content)
	if err != nil {
		return transport.Reply{}, err
	}
	template, version, err := s.engine.Template(ctx, room, draft)
	if err != nil {
		return transport.Reply{}, err
	}
	body := append([]byte(`{"event":`), template...)
	body = append(body, `,"room_version":`...)
	body = canonicaljson.AppendString(body, version.ID)
	return transport.Reply{Body: append(body, '}')}, nil
}

// acceptJoin takes a join in and answers with the state before it (M-06 to M-08), without the members for those who say that they
// can do without (M-10).
func (s *Server) acceptJoin(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	room, err := s.residentRoom(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	if err := s.stillAuthorised(ctx, room, r.Body); err != nil {
		return transport.Reply{}, err
	}
	admission, err := s.admit(ctx, r, "join")
	if err != nil {
		return transport.Reply{}, err
	}
	return s.joinReply(ctx, admission), nil
}

// acceptLeave takes a leave in (M-24).
func (s *Server) acceptLeave(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	if _, err := s.residentRoom(ctx, r); err != nil {
		return transport.Reply{}, err
	}
	_, err := s.admit(ctx, r, "leave")
	return transport.Reply{}, err
}

// admit hands a member event to the engine: it is validated against the path and its origin, judged, stored and relayed.
func (s *Server) admit(ctx context.Context, r *transport.Request, membership string) (pdu.Admission, error) {
	eventID, err := ident.ParseEventID(r.Params["eventID"])
	if err != nil {
		return pdu.Admission{}, invalidParam("event id: %v", err)
	}
	return s.engine.AcceptMembership(ctx, r.Origin, pdu.Handover{
		Room: ident.RoomID(r.Params["roomID"]), EventID: eventID, Membership: membership,
		OmitMembers: r.Query.Get("omit_members") == "true",
	}, r.Body)
}

// stillAuthorised checks the conditions of a restricted room once more when a join names a user of ours as the one who lets it
// in. Nothing obliges a joiner to have asked with make_join before, and the engine is about to sign in that user's name (M-14).
func (s *Server) stillAuthorised(ctx context.Context, room pdu.RoomInfo, body []byte) error {
	join, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return err
	}
	text, ok := join.Get("content").Get(authoriserKey).Text()
	if !ok || ident.UserID(text).Server() != s.self || !room.Version.Restricted {
		return nil
	}
	rules, err := s.conditions(ctx, room)
	if err != nil {
		return err
	}
	if rules == nil {
		return forbidden("%s authorises nobody: the room has no conditions", text)
	}
	sender, _ := join.Get("sender").Text()
	return s.meetsConditions(ctx, rules, ident.UserID(sender))
}

// joinReply is the answer to a send_join (E-15), written piece by piece around the events' own bytes.
func (s *Server) joinReply(ctx context.Context, a pdu.Admission) transport.Reply {
	return transport.Reply{Stream: func(w io.Writer) error {
		if _, err := io.WriteString(w, `{"auth_chain":`); err != nil {
			return err
		}
		if err := s.engine.WriteEvents(ctx, w, a.AuthChain); err != nil {
			return err
		}
		body := append([]byte(`,"event":`), a.Event.JSON()...)
		if body = append(body, `,"members_omitted":`...); a.MembersOmitted {
			body = appendServers(append(body, `true,"servers_in_room":`...), a.ServersInRoom)
		} else {
			body = append(body, `false`...)
		}
		body = canonicaljson.AppendString(append(body, `,"origin":`...), string(s.self))
		if _, err := w.Write(append(body, `,"state":`...)); err != nil {
			return err
		}
		if err := s.engine.WriteEvents(ctx, w, a.StateBefore); err != nil {
			return err
		}
		_, err := io.WriteString(w, "}")
		return err
	}}
}

func appendServers(body []byte, servers []ident.ServerName) []byte {
	body = append(body, '[')
	for i, name := range servers {
		if i > 0 {
			body = append(body, ',')
		}
		body = canonicaljson.AppendString(body, string(name))
	}
	return append(body, ']')
}

// userOfOrigin is the user in the path, who must be one of the server that asks (M-05).
func userOfOrigin(r *transport.Request) (ident.UserID, error) {
	user, err := ident.ParseUserID(r.Params["userID"])
	if err != nil {
		return "", invalidParam("user id: %v", err)
	}
	if user.Server() != r.Origin {
		return "", forbidden("%s is not a user of %s", user, r.Origin)
	}
	return user, nil
}

// residentRoom is the room in the path, which this server must be in and whose list must not keep the other server out (M-93).
func (s *Server) residentRoom(ctx context.Context, r *transport.Request) (pdu.RoomInfo, error) {
	id, err := ident.ParseRoomID(r.Params["roomID"])
	if err != nil {
		return pdu.RoomInfo{}, invalidParam("room id: %v", err)
	}
	room, err := s.engine.Room(ctx, id)
	if errors.Is(err, pdu.ErrUnknownRoom) || err == nil && room.Membership != pdu.Joined {
		return pdu.RoomInfo{}, &transport.Error{
			Status: http.StatusNotFound, Code: spec.ErrorNotFound, Message: "this server is not in the room",
		}
	}
	if err != nil {
		return pdu.RoomInfo{}, err
	}
	if room.Partial { // who is banned is not known, nor the state to answer with (M-12)
		return pdu.RoomInfo{}, &transport.Error{
			Status: http.StatusNotFound, Code: spec.ErrorNotFound, Message: "this server does not know the whole state of the room yet",
		}
	}
	return room, s.engine.CheckAccess(ctx, id, r.Origin)
}

func invalidParam(format string, args ...any) *transport.Error {
	return &transport.Error{Status: http.StatusBadRequest, Code: spec.ErrorInvalidParam, Message: fmt.Sprintf(format, args...)}
}
