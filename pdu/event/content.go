// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// ErrOtherType is what asking an event for the content of another type gives.
var ErrOtherType = errors.New("event is of another type")

// Member is what the rules need to know of the content of m.room.member.
type Member struct {
	Membership string // "join", "invite" … or anything else
	// AuthorisedVia is join_authorised_via_users_server, "" if absent or not a string.
	AuthorisedVia string
	// ThirdParty says that third_party_invite is present.
	ThirdParty bool
}

// Create is what the rules need to know of the content of m.room.create.
type Create struct {
	RoomVersion string // "1" if absent
	// Creator is who made the room: content.creator up to room version 10, the sender later.
	Creator ident.UserID
	// AdditionalCreators are those who share the creator's power; empty before room version 12.
	AdditionalCreators []ident.UserID
	// Federate is false if m.federate is: then only users of the creator's server may take part (P-42).
	Federate bool
}

// IsAdditionalCreator reports whether the user is one of AdditionalCreators.
func (c *Create) IsAdditionalCreator(user ident.UserID) bool {
	return slices.Contains(c.AdditionalCreators, user)
}

// JoinRules is what the rules need to know of the content of m.room.join_rules.
type JoinRules struct {
	JoinRule string // "public", "invite" … or anything else
	// Allow is the conditions of restricted rooms; of any kind (M-13).
	Allow canonicaljson.Value
}

// Membership is the content of an m.room.member event; ok is false for other types, and if membership is not a string.
func (e *Event) Membership() (m Member, ok bool) {
	decoded, ok := e.decoded.(*Member)
	if !ok {
		return Member{}, false
	}
	return *decoded, true
}

// PowerLevels is the content of an m.room.power_levels event. The error says which level is none by the rules of the room
// version. The result is shared and must not be modified.
func (e *Event) PowerLevels() (*PowerLevels, error) {
	if e.levels == nil {
		return nil, fmt.Errorf("%w: %s", ErrOtherType, e.typ)
	}
	return e.levels()
}

// Create is the content of an m.room.create event. The result is shared and must not be modified.
func (e *Event) Create() (*Create, error) { return decodedAs[Create](e) }

// JoinRules is the content of an m.room.join_rules event. The result is shared and must not be modified.
func (e *Event) JoinRules() (*JoinRules, error) { return decodedAs[JoinRules](e) }

func decodedAs[T any](e *Event) (*T, error) {
	if content, ok := e.decoded.(*T); ok {
		return content, nil
	}
	if e.decodeErr != nil {
		return nil, e.decodeErr
	}
	return nil, fmt.Errorf("%w: %s", ErrOtherType, e.typ)
}

// decode reads the content that the authorisation rules ask for again and again.
func (e *Event) decode() {
	switch e.typ {
	case typeMember:
		store(e, decodeMember)
	case typePowerLevels:
		// Those of a large room cost more to decode than all the rest of the event, and of the events of a long history few are asked.
		e.levels = sync.OnceValues(func() (*PowerLevels, error) { return decodePowerLevels(e.version, e.content) })
	case typeCreate:
		store(e, decodeCreate)
	case typeJoinRules:
		store(e, decodeJoinRules)
	}
}

func store[T any](e *Event, decode func(*Event) (*T, error)) {
	content, err := decode(e)
	if err != nil {
		e.decodeErr = err
		return
	}
	e.decoded = content
}

func decodeMember(e *Event) (*Member, error) {
	membership, ok := e.content.Get("membership").Text()
	if !ok {
		return nil, errors.New("membership is not a string")
	}
	authoriser, _ := e.content.Get("join_authorised_via_users_server").Text()
	return &Member{membership, authoriser, e.content.Has("third_party_invite")}, nil
}

func decodeCreate(e *Event) (*Create, error) {
	c := &Create{RoomVersion: "1", Creator: e.sender, Federate: true}
	if version := e.content.Get("room_version"); version.Kind() != canonicaljson.Invalid {
		var ok bool
		if c.RoomVersion, ok = version.Text(); !ok {
			return nil, fmt.Errorf("room_version is not a string: %.80s", version.Canonical())
		}
	}
	if e.version.CreatorInContent {
		creator, ok := e.content.Get("creator").Text()
		if !ok {
			return nil, errors.New("creator is absent or not a string")
		}
		c.Creator = ident.UserID(creator)
	}
	if federate, ok := e.content.Get("m.federate").Bool(); ok {
		c.Federate = federate
	}
	if e.version.PrivilegedCreators {
		var err error
		if c.AdditionalCreators, err = decodeCreators(e.content.Get("additional_creators")); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// decodeCreators: additional_creators, if present, is an array of user ids.
func decodeCreators(list canonicaljson.Value) ([]ident.UserID, error) {
	if kind := list.Kind(); kind != canonicaljson.Array && kind != canonicaljson.Invalid {
		return nil, fmt.Errorf("additional_creators is not an array: %.80s", list.Canonical())
	}
	var creators []ident.UserID
	for element := range list.Elements() {
		text, _ := element.Text()
		user, err := ident.ParseUserID(text)
		if err != nil {
			return nil, fmt.Errorf("additional_creators: %w", err)
		}
		creators = append(creators, user)
	}
	return creators, nil
}

func decodeJoinRules(e *Event) (*JoinRules, error) {
	rule, ok := e.content.Get("join_rule").Text()
	if !ok {
		return nil, errors.New("join_rule is absent or not a string")
	}
	return &JoinRules{rule, e.content.Get("allow")}, nil
}
