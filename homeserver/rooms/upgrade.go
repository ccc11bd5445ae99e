// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const tombstoneType = "m.room.tombstone"

// transferred is the state that a new room takes over from the old one (mod/room_upgrades, "Server behaviour"), in the order in which it
// is set. The power levels come last: until then the new room's creator has the power to set the rest.
var transferred = []string{
	"m.room.server_acl", "m.room.encryption", "m.room.name", "m.room.avatar", "m.room.topic", "m.room.guest_access",
	"m.room.history_visibility", "m.room.join_rules", canonicalType,
}

// upgrade is POST /rooms/{roomId}/upgrade.
func (r *Rooms) upgrade(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	var body struct {
		Version  *string        `json:"new_version"`
		Creators []ident.UserID `json:"additional_creators"`
	}
	if err := q.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Version == nil {
		return api.Reply{}, api.MissingParam("new_version")
	}
	version, known := event.VersionOf(*body.Version)
	if !known {
		return api.Reply{}, &api.Error{
			Status: http.StatusBadRequest, Code: "M_UNSUPPORTED_ROOM_VERSION", Message: fmt.Sprintf("room version %.40q is not known here", *body.Version),
		}
	}
	replacement, err := r.replace(ctx, room, q.User, version, body.Creators)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	return api.JSON(map[string]ident.RoomID{"replacement_room": replacement})
}

// replace makes the room that takes the place of another, in the order that is M-110: the room with the state that it takes over, in one
// job with the aliases that it takes over; the tombstone; the old room is restricted, as far as the user may.
func (r *Rooms) replace(ctx context.Context, old ident.RoomID, user ident.UserID, version *event.Version, creators []ident.UserID) (ident.RoomID, error) {
	if err := r.mustBeHere(ctx, old); err != nil {
		return "", err
	}
	s, err := r.standing(ctx, old, user)
	if err != nil {
		return "", err
	}
	if !s.maySet(tombstoneType) {
		return "", api.Forbidden("you may not replace the room")
	}
	founding, err := r.successor(ctx, old, user, version, creators)
	if err != nil {
		return "", err
	}
	room, err := r.server.FoundRoom(ctx, founding)
	if err != nil {
		return "", refusedRoom(err)
	}
	_, err = r.server.SendState(ctx, old, user, tombstoneType, "", map[string]any{
		"body": "This room has been replaced", "replacement_room": room,
	})
	if err != nil {
		return "", err
	}
	if err := r.restrict(ctx, old, user, s.power); err != nil && !isRefused(err) {
		return "", err
	}
	return room, nil
}

func isRefused(err error) bool {
	_, refused := errors.AsType[*pdu.NotAllowed](err)
	return refused
}

// successor plans the new room.
func (r *Rooms) successor(ctx context.Context, old ident.RoomID, user ident.UserID, version *event.Version, creators []ident.UserID) (messaging.Founding, error) {
	none := messaging.Founding{}
	creation, err := r.succeeding(ctx, old, version, creators)
	if err != nil {
		return none, err
	}
	join, err := r.memberContent(ctx, user, "join", "")
	if err != nil {
		return none, err
	}
	power, err := r.slot(ctx, old, "m.room.power_levels", "")
	if err != nil {
		return none, err
	}
	before, after := powerOfSuccessor(version, user, creators, power)
	p := plan{version: version, creation: creation, states: []messaging.State{{Type: "m.room.power_levels", Content: before}}}
	for _, kind := range transferred {
		current, err := r.slot(ctx, old, kind, "")
		if err != nil {
			return none, err
		}
		if current != nil {
			p.states = append(p.states, messaging.State{Type: kind, Content: json.RawMessage(current.Content().Canonical())})
		}
	}
	if after != nil {
		p.states = append(p.states, messaging.State{Type: "m.room.power_levels", Content: after})
	}
	first, err := p.drafts(user, join)
	if err != nil {
		return none, err
	}
	first[0].Kept = func(tx *persistence.Tx, e *event.Event) error { return takeOver(tx, old, e.RoomID()) }
	return messaging.Founding{Creator: user, Version: version.ID, Content: creation, First: first}, nil
}

// succeeding is the content of the new room's create event: what the old one's says, but for what belongs to its version, and where it
// comes from. The event of the old room that it names is the last one known, not the tombstone, which is to name the new room; from
// room version 12 on it names none.
func (r *Rooms) succeeding(ctx context.Context, old ident.RoomID, version *event.Version, creators []ident.UserID) (map[string]any, error) {
	info, err := r.engine.Room(ctx, old)
	if err != nil {
		return nil, err
	}
	create, err := r.slot(ctx, old, "m.room.create", "")
	if err != nil {
		return nil, err
	}
	creation := map[string]any{}
	for name, value := range create.Content().Members() {
		switch name {
		case "creator", "room_version", "predecessor", "additional_creators":
		default:
			creation[name] = json.RawMessage(value.Canonical())
		}
	}
	predecessor := map[string]any{"room_id": old}
	if !version.PrivilegedCreators && len(info.Extremities) > 0 {
		predecessor["event_id"] = info.Extremities[0]
	}
	creation["predecessor"] = predecessor
	if version.PrivilegedCreators && len(creators) > 0 {
		creation["additional_creators"] = creators
	}
	return creation, nil
}

// powerOfSuccessor is the power levels with which the new room begins, in which its creator can set everything, and those of the old room
// that then take their place; nil where there were none. They are integers, and name no creators where these have all power anyway (P-36,
//
func powerOfSuccessor(version *event.Version, user ident.UserID, creators []ident.UserID, power *event.Event) (before, after map[string]any) {
	before = messaging.DefaultPowerLevels(version, user)
	if power == nil {
		return before, nil
	}
	levels, err := power.PowerLevels()
	if err != nil {
		return before, nil
	}
	after = map[string]any{}
	for name, value := range power.Content().Members() {
		after[name] = json.RawMessage(value.Canonical())
	}
	for name, level := range map[string]*int64{
		"ban": levels.Ban, "events_default": levels.EventsDefault, "invite": levels.Invite, "kick": levels.Kick, "redact": levels.Redact,
		"state_default": levels.StateDefault, "users_default": levels.UsersDefault,
	} {
		if level != nil {
			after[name] = *level
		}
	}
	highest, users := int64(100), map[ident.UserID]int64{}
	for name, level := range levels.Users {
		users[name] = level
		highest = max(highest, level)
	}
	for _, level := range levels.Events {
		highest = max(highest, level)
	}
	after["users"] = users
	if len(levels.Events) > 0 {
		after["events"] = levels.Events
	}
	if version.PrivilegedCreators {
		delete(users, user)
		for _, creator := range creators {
			delete(users, creator)
		}
		return before, after
	}
	before["users"] = map[ident.UserID]int64{user: highest}
	return before, after
}

// takeOver moves our aliases of a room, and its place in the directory, to another.
func takeOver(tx *persistence.Tx, old, replacement ident.RoomID) error {
	if _, err := tx.Exec(`UPDATE hs_aliases SET room = ? WHERE room = ?`, string(replacement), string(old)); err != nil {
		return fmt.Errorf("aliases of %s: %w", old, err)
	}
	is, err := isPublished(tx, old)
	if err != nil || !is {
		return err
	}
	return errors.Join(withdraw(tx, old), publish(tx, replacement))
}

// restrict has nobody but moderators speak or invite in the old room: "both set to the greater of 50 and users_default + 1".
func (r *Rooms) restrict(ctx context.Context, old ident.RoomID, user ident.UserID, power *event.Event) error {
	if power == nil {
		return nil
	}
	levels, err := power.PowerLevels()
	if err != nil {
		return nil //nolint:nilerr // levels that cannot be read cannot be raised
	}
	least := int64(50)
	if levels.UsersDefault != nil {
		least = max(least, *levels.UsersDefault+1)
	}
	content, raised := map[string]any{}, false
	for name, value := range power.Content().Members() {
		content[name] = json.RawMessage(value.Canonical())
	}
	for name, level := range map[string]*int64{"events_default": levels.EventsDefault, "invite": levels.Invite} {
		if level == nil || *level < least {
			content[name], raised = least, true
		}
	}
	if !raised {
		return nil
	}
	_, err = r.server.SendState(ctx, old, user, "m.room.power_levels", "", content)
	return err
}
