// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync/atomic"

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
	text    []byte // canonical, in federation format, without unsigned
	content []byte // the part of text
	id      ident.EventID
	room    ident.RoomID
	sender  ident.UserID
	typ     string
	key     string
	depth   int64
	ts      int64
	prev    []ident.EventID
	auth    []ident.EventID
	few     [usualReferences]ident.EventID // the memory of both, if there are no more

	isState  bool
	hasRoom  bool
	mismatch bool

	signers *signers                            // who has to sign, if content cannot tell any more because it is redacted
	tree    atomic.Pointer[canonicaljson.Value] // of content, made when first asked for
	decoded atomic.Pointer[decoded]             // likewise what content says, for the types that the rules ask about
}

// usualReferences is how many events most events refer to at most.
const usualReferences = 5

// newEvent takes the fields over. Of a field of the wrong type it keeps nothing; Parse has refused those before.
func newEvent(v *Version, root canonicaljson.Value, f *fields) *Event {
	e := &Event{version: v, text: root.Canonical(), content: f[fieldContent].Canonical()}
	sender, _ := f[fieldSender].Text()
	room, _ := f[fieldRoomID].Text()
	e.sender, e.room = ident.UserID(sender), ident.RoomID(room)
	e.hasRoom = f[fieldRoomID].Kind() != canonicaljson.Invalid
	e.typ, _ = f[fieldType].Text()
	e.key, e.isState = f[fieldStateKey].Text()
	e.depth, _ = f[fieldDepth].Int()
	e.ts, _ = f[fieldOriginServerTS].Int()
	return e
}

// refer takes prev_events and auth_events over, up to the first that is no reference.
func (e *Event) refer(f *fields, d demands) error {
	all, err := appendReferences(e.few[:0], e.version, "prev_events", f[fieldPrevEvents], d.maxPrev)
	count := len(all)
	if err == nil {
		all, err = appendReferences(all, e.version, "auth_events", f[fieldAuthEvents], d.maxAuth)
	}
	e.prev, e.auth = all[:count:count], all[count:]
	return err
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
func (e *Event) HasRoomID() bool { return e.hasRoom }

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
	from := e.text
	if e.version.RedactsInContent {
		from = e.content
	}
	w := borrow()
	defer w.giveBack()
	text, _ := w.over(from, e.version).Get("redacts").Text()
	target, err := ident.ParseEventID(text)
	return target, err == nil
}

// Content is the content, an object. What is in it is untrusted (P-08).
func (e *Event) Content() canonicaljson.Value {
	if tree := e.tree.Load(); tree != nil {
		return *tree
	}
	tree, _ := canonicaljson.Over(e.content, e.version.Rules)
	if !e.tree.CompareAndSwap(nil, &tree) {
		return *e.tree.Load()
	}
	return tree
}

// JSON is the event in federation format as canonical JSON, without unsigned. It must not be modified.
func (e *Event) JSON() []byte { return e.text }

// Signatures is the object of signatures by server and key id.
func (e *Event) Signatures() canonicaljson.Value { return e.root().Get("signatures") }

// root is the whole event, taken apart again.
func (e *Event) root() canonicaljson.Value {
	root, _ := canonicaljson.Over(e.text, e.version.Rules) // it was read before
	return root
}

// HashMismatch reports whether the content hash was wrong when the event was parsed, so that this is the redacted event
// (P-15).
func (e *Event) HashMismatch() bool { return e.mismatch }

// Redact is the event as it stands after redaction, under the same id (P-62).
func (e *Event) Redact() *Event {
	w := borrow()
	defer w.giveBack()
	form, _ := w.redacted(e, true)
	root := w.over(form, e.version)
	var f fields
	f.read(root)
	redacted := newEvent(e.version, root, &f)
	_ = redacted.refer(&f, demands{})                          // they were good before
	redacted.setID(ident.EventID(strings.Clone(string(e.id)))) // a share in e's bytes would keep them alive
	need := e.required().clone()
	redacted.signers, redacted.mismatch = &need, e.mismatch
	return redacted
}

// message is what servers sign and what the reference hash is of: the redacted event without signatures. It is made anew each
// time: it is asked for once or twice, and kept it would be a third of the memory of an event.
func (e *Event) message() []byte {
	w := borrow()
	defer w.giveBack()
	message, _ := w.redacted(e, false)
	return message
}

// encodedHashSize is the length of a SHA-256 in unpadded base64.
const encodedHashSize = 43

// appendHashed appends what the content hash, which belongs in hashes.sha256, is of (P-10). The event has no unsigned.
func appendHashed(dst []byte, root canonicaljson.Value, f *fields) []byte {
	return root.AppendExcept(dst, f[fieldHashes], f[fieldSignatures])
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
