// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"fmt"
	"slices"

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
	member, err := decodedAs[Member](e, typeMember)
	if err != nil {
		return Member{}, false
	}
	return *member, true
}

// PowerLevels is the content of an m.room.power_levels event. The error says which level is none by the rules of the room
// version. The result is shared and must not be modified.
func (e *Event) PowerLevels() (*PowerLevels, error) {
	return decodedAs[PowerLevels](e, typePowerLevels)
}

// Create is the content of an m.room.create event. The result is shared and must not be modified.
func (e *Event) Create() (*Create, error) { return decodedAs[Create](e, typeCreate) }

// JoinRules is the content of an m.room.join_rules event. The result is shared and must not be modified.
func (e *Event) JoinRules() (*JoinRules, error) { return decodedAs[JoinRules](e, typeJoinRules) }

// decoded is what the content of an event says, or why it says nothing.
type decoded struct {
	content any // *Member, *Create, *JoinRules or *PowerLevels, by type
	err     error
}

// decodedAs is the content of an event of this type. The authorisation rules ask the same few events for it again and again, and most
// events never: it is decoded when first asked for.
func decodedAs[T any](e *Event, typ string) (*T, error) {
	if e.typ != typ {
		return nil, fmt.Errorf("%w: %s", ErrOtherType, e.typ)
	}
	d := e.decoded.Load()
	if d == nil {
		if d = decode(e); !e.decoded.CompareAndSwap(nil, d) {
			d = e.decoded.Load() // another goroutine did the same
		}
	}
	content, _ := d.content.(*T)
	return content, d.err
}

func decode(e *Event) *decoded {
	w := borrow()
	defer w.giveBack()
	content := w.over(e.content, e.version)
	var d decoded
	switch e.typ {
	case typeMember:
		d.content, d.err = decodeMember(content)
	case typePowerLevels:
		d.content, d.err = decodePowerLevels(e.version, content)
	case typeCreate:
		d.content, d.err = decodeCreate(e, content)
	case typeJoinRules:
		d.content, d.err = decodeJoinRules(e.Content()) // which keeps a part of it
	}
	return &d
}

func decodeMember(content canonicaljson.Value) (*Member, error) {
	membership, ok := content.Get("membership").Text()
	if !ok {
		return nil, errors.New("membership is not a string")
	}
	authoriser, _ := content.Get("join_authorised_via_users_server").Text()
	return &Member{membership, authoriser, content.Has("third_party_invite")}, nil
}

func decodeCreate(e *Event, content canonicaljson.Value) (*Create, error) {
	c := &Create{RoomVersion: "1", Creator: e.sender, Federate: true}
	if version := content.Get("room_version"); version.Kind() != canonicaljson.Invalid {
		var ok bool
		if c.RoomVersion, ok = version.Text(); !ok {
			return nil, fmt.Errorf("room_version is not a string: %.80s", version.Canonical())
		}
	}
	if e.version.CreatorInContent {
		creator, ok := content.Get("creator").Text()
		if !ok {
			return nil, errors.New("creator is absent or not a string")
		}
		c.Creator = ident.UserID(creator)
	}
	if federate, ok := content.Get("m.federate").Bool(); ok {
		c.Federate = federate
	}
	if e.version.PrivilegedCreators {
		var err error
		if c.AdditionalCreators, err = decodeCreators(content.Get("additional_creators")); err != nil {
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

func decodeJoinRules(content canonicaljson.Value) (*JoinRules, error) {
	rule, ok := content.Get("join_rule").Text()
	if !ok {
		return nil, errors.New("join_rule is absent or not a string")
	}
	return &JoinRules{rule, content.Get("allow")}, nil
}
