// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"errors"
	"fmt"
	"maps"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// authoriserKey is the member of a join's content that names who let the user into a restricted room (P-45).
const authoriserKey = "join_authorised_via_users_server"

// thirdPartyKey is the member of an invitation's content that names the third-party invite which it redeems (P-46).
const thirdPartyKey = "third_party_invite"

// accept verifies the answer to a make_join, make_knock or make_leave and takes over what a resident may decide: where the event stands in
// the room, and who authorised it. Everything else we say ourselves, since it is we who sign it (M-03, M-04): a template with
// other content than was asked for is no order.
func (h handshake) accept(body []byte, via, self ident.ServerName) (*event.Version, event.Proto, error) {
	root, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return nil, event.Proto{}, err
	}
	version, err := versionOf(root.Get("room_version"))
	if err != nil {
		return nil, event.Proto{}, err
	}
	if h.membership == "knock" && !version.Knock { // also when there is no room_version (M-20)
		return nil, event.Proto{}, fmt.Errorf("in room version %s nobody can knock", version.ID)
	}
	template := root.Get("event")
	if err := h.verify(template); err != nil {
		return nil, event.Proto{}, err
	}
	offered, err := event.FromTemplate(version, template.Canonical())
	if err != nil {
		return nil, event.Proto{}, err
	}
	if len(offered.PrevEvents) == 0 {
		return nil, event.Proto{}, errors.New("the event follows no other (P-06)")
	}
	if offered.Depth < 1 || offered.Depth > version.MaxDepth {
		return nil, event.Proto{}, fmt.Errorf("the event's depth is %d (P-05)", offered.Depth)
	}
	content, err := h.contentOf(version, template, via, self)
	if err != nil {
		return nil, event.Proto{}, err
	}
	key := string(h.user)
	return version, event.Proto{
		RoomID: h.room, Sender: h.user, Type: "m.room.member", StateKey: &key, Content: content,
		PrevEvents: offered.PrevEvents, AuthEvents: offered.AuthEvents, Depth: offered.Depth,
	}, nil
}

// versionOf reads room_version; without one the room is of version 1 or 2, which differ in nothing that is written here (M-02).
func versionOf(value canonicaljson.Value) (*event.Version, error) {
	id := "1"
	if value.Kind() != canonicaljson.Invalid {
		var ok bool
		if id, ok = value.Text(); !ok {
			return nil, errors.New("room_version is not a string")
		}
	}
	version, known := event.VersionOf(id)
	if !known {
		return nil, fmt.Errorf("room version %.40q is not known", id)
	}
	return version, nil
}

// verify holds the template against what was asked for (M-03).
func (h handshake) verify(template canonicaljson.Value) error {
	if template.Kind() != canonicaljson.Object {
		return errors.New("there is no event (M-03)")
	}
	for _, field := range []struct {
		name, want string
		value      canonicaljson.Value
	}{
		{"type", "m.room.member", template.Get("type")},
		{"room_id", string(h.room), template.Get("room_id")},
		{"sender", string(h.user), template.Get("sender")},
		{"state_key", string(h.user), template.Get("state_key")},
		{"content.membership", h.membership, template.Get("content").Get("membership")},
	} {
		if got, ok := field.value.Text(); !ok || got != field.want {
			return fmt.Errorf("the event's %s is %.80s, not %q (M-03)", field.name, field.value.Canonical(), field.want)
		}
	}
	return nil
}

// contentOf is ours but for the user who authorises a restricted join: one of the server that answers, for only it can sign for
// them (M-14).
func (h handshake) contentOf(version *event.Version, template canonicaljson.Value, via, self ident.ServerName) ([]byte, error) {
	content := maps.Clone(h.content)
	authoriser := template.Get("content").Get(authoriserKey)
	if h.membership == "join" && version.Restricted && authoriser.Kind() != canonicaljson.Invalid {
		text, _ := authoriser.Text()
		user, err := ident.ParseUserID(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", authoriserKey, err)
		}
		if user.Server() == self || user.Server() != via {
			return nil, fmt.Errorf("%s %s is not a user of %s (M-14)", authoriserKey, user, via)
		}
		content[authoriserKey] = user
	}
	return encodeContent(content)
}
