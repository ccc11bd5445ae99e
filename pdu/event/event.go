// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// The event types whose content this package decodes.
const (
	typeCreate      = "m.room.create"
	typeJoinRules   = "m.room.join_rules"
	typeMember      = "m.room.member"
	typePowerLevels = "m.room.power_levels"
	typeRedaction   = "m.room.redaction"
)

// StateKey names a slot of room state.
type StateKey struct{ Type, Key string }

// Ref is a reference to an event. The hash is written only by room versions 1 and 2.
type Ref struct {
	ID   ident.EventID
	Hash [sha256.Size]byte
}

// Event is one event of a room. It is immutable and safe for concurrent use; its strings and values share its bytes.
type Event struct {
	version *Version
	root    canonicaljson.Value // in federation format, without unsigned
	content canonicaljson.Value
	id      ident.EventID
	room    ident.RoomID
	sender  ident.UserID
	typ     string
	key     string
	isState bool
	depth   int64
	ts      int64
	prev    []ident.EventID
	auth    []ident.EventID

	decoded   any                          // *Member, *Create or *JoinRules, by type
	decodeErr error                        // why decoded is nil
	levels    func() (*PowerLevels, error) // decoded when first asked for; nil for other types

	signers  *signers // who has to sign, if content cannot tell any more because it is redacted
	mismatch bool
}

// newEvent takes the fields over. Of a field of the wrong type it keeps nothing; Parse has refused those before.
func newEvent(v *Version, root canonicaljson.Value, f *fields) *Event {
	e := &Event{version: v, root: root, content: f[fieldContent]}
	sender, _ := f[fieldSender].Text()
	room, _ := f[fieldRoomID].Text()
	e.sender, e.room = ident.UserID(sender), ident.RoomID(room)
	e.typ, _ = f[fieldType].Text()
	e.key, e.isState = f[fieldStateKey].Text()
	e.depth, _ = f[fieldDepth].Int()
	e.ts, _ = f[fieldOriginServerTS].Int()
	e.prev, e.auth = references(v, f[fieldPrevEvents], f[fieldAuthEvents])
	e.decode()
	return e
}

// references reads both lists into one allocation.
func references(v *Version, prevEvents, authEvents canonicaljson.Value) (prev, auth []ident.EventID) {
	count := prevEvents.Len()
	all := make([]ident.EventID, 0, count+authEvents.Len())
	for _, list := range [...]canonicaljson.Value{prevEvents, authEvents} {
		for element := range list.Elements() {
			text, _ := referenceText(v, element)
			all = append(all, ident.EventID(text))
		}
	}
	return all[:count:count], all[count:]
}

// setID takes the id over, and from it the room of a create event of room version 12.
func (e *Event) setID(id ident.EventID) {
	e.id = id
	if e.impliesRoom() && id != "" {
		e.room = ident.RoomID("!" + id[1:])
	}
}

func (e *Event) impliesRoom() bool { return e.version.HashRoomID && e.typ == typeCreate }

// Version is the room version whose rules the event was parsed by.
func (e *Event) Version() *Version { return e.version }

// ID is the event id: the field event_id in room versions 1 and 2, the reference hash later (P-12).
func (e *Event) ID() ident.EventID { return e.id }

// Ref is what another event lists to refer to this one.
func (e *Event) Ref() Ref {
	if e.version.References == RefIDs {
		return Ref{ID: e.id}
	}
	return Ref{ID: e.id, Hash: sha256.Sum256(e.message())}
}

// RoomID is the room of the event. The create event of room version 12 implies it.
func (e *Event) RoomID() ident.RoomID { return e.room }

// HasRoomID reports whether the event carries the field room_id, which the create event of room version 12 must not.
func (e *Event) HasRoomID() bool { return e.root.Has("room_id") }

// Sender is the user who sent the event.
func (e *Event) Sender() ident.UserID { return e.sender }

// Type is the event type.
func (e *Event) Type() string { return e.typ }

// StateKey is the state key; ok is false for an event that is no state event (P-07).
func (e *Event) StateKey() (key string, ok bool) { return e.key, e.isState }

// Slot is the slot of room state that the event is for; ok is false for an event that is no state event.
func (e *Event) Slot() (slot StateKey, ok bool) { return StateKey{e.typ, e.key}, e.isState }

// IsState reports whether the event is a state event for this slot.
func (e *Event) IsState(slot StateKey) bool {
	return e.isState && e.typ == slot.Type && e.key == slot.Key
}

// OriginServerTS is when its server says it made the event, in milliseconds since 1970. It may be any number.
func (e *Event) OriginServerTS() int64 { return e.ts }

// Depth is the depth that the event claims.
func (e *Event) Depth() int64 { return e.depth }

// PrevEvents is the events that this one follows. The slice must not be modified.
func (e *Event) PrevEvents() []ident.EventID { return e.prev }

// AuthEvents is the events that say why this one is allowed. The slice must not be modified.
func (e *Event) AuthEvents() []ident.EventID { return e.auth }

// Redacts is the event that an m.room.redaction names, in the field or in content as the room version has it; ok is false if
// it names none, and for other types.
func (e *Event) Redacts() (target ident.EventID, ok bool) {
	if e.typ != typeRedaction {
		return "", false
	}
	from := e.root
	if e.version.RedactsInContent {
		from = e.content
	}
	text, _ := from.Get("redacts").Text()
	target, err := ident.ParseEventID(text)
	return target, err == nil
}

// Content is the content, an object. What is in it is untrusted (P-08).
func (e *Event) Content() canonicaljson.Value { return e.content }

// JSON is the event in federation format as canonical JSON, without unsigned. It must not be modified.
func (e *Event) JSON() []byte { return e.root.Canonical() }

// Signatures is the object of signatures by server and key id.
func (e *Event) Signatures() canonicaljson.Value { return e.root.Get("signatures") }

// HashMismatch reports whether the content hash was wrong when the event was parsed, so that this is the redacted event
// (P-15).
func (e *Event) HashMismatch() bool { return e.mismatch }

// Redact is the event as it stands after redaction, under the same id (P-62).
func (e *Event) Redact() *Event {
	var f fields
	f.read(e.root)
	root, err := canonicaljson.Parse(e.version.redaction.appendRedacted(make([]byte, 0, len(e.JSON())), &f, true), e.version.Rules)
	if err != nil {
		return e // a selection from canonical JSON is canonical JSON
	}
	f = fields{}
	f.read(root)
	redacted := newEvent(e.version, root, &f)
	redacted.setID(ident.EventID(strings.Clone(string(e.id)))) // a share in e's bytes would keep them alive
	need := e.required().clone()
	redacted.signers, redacted.mismatch = &need, e.mismatch
	return redacted
}

// message is what servers sign and what the reference hash is of: the redacted event without signatures. It is made anew each
// time: it is asked for once or twice, and kept it would be a third of the memory of an event.
func (e *Event) message() []byte {
	var f fields
	f.read(e.root)
	return e.version.redaction.appendRedacted(make([]byte, 0, len(e.JSON())), &f, false)
}

// encodedHashSize is the length of a SHA-256 in unpadded base64.
const encodedHashSize = 43

// contentHash is the hash that belongs in hashes.sha256 (P-10). The buffer is scratch space.
func contentHash(buffer []byte, root canonicaljson.Value) [sha256.Size]byte {
	return sha256.Sum256(root.AppendWithout(buffer, "hashes", "signatures", "unsigned"))
}

// isContentHash reports whether hashes.sha256 names the hash, as nearly all do in the one spelling that servers emit.
func isContentHash(field canonicaljson.Value, hash [sha256.Size]byte) bool {
	var usual [encodedHashSize]byte
	base64.RawStdEncoding.Encode(usual[:], hash[:])
	text, _ := field.Text()
	if text == string(usual[:]) {
		return true
	}
	named, err := signing.DecodeBase64(text)
	return err == nil && bytes.Equal(named, hash[:])
}
