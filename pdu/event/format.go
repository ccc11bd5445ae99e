// SPDX-License-Identifier: Apache-2.0

package event

import (
	"fmt"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// The limits on one event (client-server API, "Size limits"; server-server API, "PDUs").
const (
	// MaxSize is the longest event in bytes: canonical JSON, federation format, signatures included (P-01). unsigned does not
	// count: any server on the way may change it, and must not be able to make an event invalid (P-19).
	MaxSize = 65536
	// MaxPrevEvents is the most prev_events (P-04).
	MaxPrevEvents = 20
	// MaxAuthEvents is the most auth_events (P-04).
	MaxAuthEvents = 10

	// maxKeyLength is the longest type and state_key in bytes, whatever the room version (client-server API, "Size limits"; P-02).
	// Synapse counts characters up to version 10, and takes longer ones there.
	maxKeyLength = 255
	maxInteger   = 1<<53 - 1 // of canonical JSON and of power levels (X-73, P-56)
)

// FormatError says why bytes are no event of the room version: such an event is dropped (P-25).
type FormatError struct {
	Rule   string // "P-03"
	Detail string // one sentence with the value that broke it
}

func (e *FormatError) Error() string { return "malformed event: " + e.Detail + " (" + e.Rule + ")" }

func malformed(rule, format string, args ...any) error {
	return &FormatError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// field names a member of an event that means something to us, or that redaction keeps.
type field int

// The fields in the order of canonical JSON.
const (
	fieldAuthEvents field = iota
	fieldContent
	fieldDepth
	fieldEventID
	fieldHashes
	fieldMembership
	fieldOrigin
	fieldOriginServerTS
	fieldPrevEvents
	fieldPrevState
	fieldRoomID
	fieldSender
	fieldSignatures
	fieldStateKey
	fieldType
)

// fieldNames is the keys of the fields.
var fieldNames = [...]string{
	"auth_events", "content", "depth", "event_id", "hashes", "membership", "origin", "origin_server_ts", "prev_events",
	"prev_state", "room_id", "sender", "signatures", "state_key", "type",
}

func (f field) String() string { return fieldNames[f] }

// fields is the members of an event by field, as they came; the zero Value for what is absent.
type fields [len(fieldNames)]canonicaljson.Value

// read sorts the members of an event out in one walk. Keys match exactly (G-J6).
func (f *fields) read(root canonicaljson.Value) {
	root.Select(f[:], fieldNames[:])
}

// fieldKinds is what fields must be, beyond those whose values are looked at one by one.
var fieldKinds = [...]struct {
	field field
	kind  canonicaljson.Kind
}{
	{fieldAuthEvents, canonicaljson.Array},
	{fieldContent, canonicaljson.Object},
	{fieldHashes, canonicaljson.Object},
	{fieldPrevEvents, canonicaljson.Array},
	{fieldSignatures, canonicaljson.Object},
	{fieldType, canonicaljson.String},
}

// checkFormat holds the fields against the format of the room version (P-02, P-03, P-05, P-07).
func checkFormat(v *Version, f *fields, bare bool) error {
	for _, want := range &fieldKinds {
		if value := f[want.field]; value.Kind() != want.kind && !(bare && mayLack(want.field, value)) {
			return malformed("P-03", "%s is absent or of the wrong type: %.80s", want.field, value.Canonical())
		}
	}
	hash := f[fieldHashes].Get("sha256")
	if hash.Kind() != canonicaljson.String && !(bare && mayLack(fieldHashes, hash)) {
		return malformed("P-03", "hashes.sha256 is absent or of the wrong type: %.80s", hash.Canonical())
	}
	if typ, _ := f[fieldType].Text(); len(typ) > maxKeyLength {
		return malformed("P-02", "type has %d bytes, at most %d are allowed", len(typ), maxKeyLength)
	}
	if err := checkStateKey(f[fieldStateKey]); err != nil {
		return err
	}
	if _, ok := f[fieldOriginServerTS].Int(); !ok {
		return malformed("P-03", "origin_server_ts is not an integer: %.80s", f[fieldOriginServerTS].Canonical())
	}
	if depth, ok := f[fieldDepth].Int(); !ok || depth < 0 || depth > v.MaxDepth {
		return malformed("P-05", "depth is not an integer from 0 to %d: %.80s", v.MaxDepth, f[fieldDepth].Canonical())
	}
	return checkIdentifiers(v, f)
}

// mayLack reports whether a bare event may do without the value.
func mayLack(name field, value canonicaljson.Value) bool {
	return value.Kind() == canonicaljson.Invalid && (name == fieldHashes || name == fieldSignatures)
}

func checkStateKey(value canonicaljson.Value) error {
	if value.Kind() == canonicaljson.Invalid {
		return nil
	}
	key, ok := value.Text()
	if !ok {
		return malformed("P-07", "state_key is not a string: %.80s", value.Canonical())
	}
	if len(key) > maxKeyLength {
		return malformed("P-02", "state_key has %d bytes, at most %d are allowed", len(key), maxKeyLength)
	}
	return nil
}

// checkIdentifiers parses sender, room_id and event_id (P-02, X-13 to X-15).
func checkIdentifiers(v *Version, f *fields) error {
	sender, ok := f[fieldSender].Text()
	if !ok {
		return malformed("P-03", "sender is absent or not a string: %.80s", f[fieldSender].Canonical())
	}
	if _, err := ident.ParseUserID(sender); err != nil {
		return malformed("P-02", "sender: %v", err)
	}
	if err := checkRoomID(v, f); err != nil {
		return err
	}
	if v.EventIDFormat != IDField {
		return nil
	}
	text, ok := f[fieldEventID].Text()
	if !ok {
		return malformed("P-03", "event_id is absent or not a string: %.80s", f[fieldEventID].Canonical())
	}
	id, err := ident.ParseEventID(text)
	if err != nil {
		return malformed("P-02", "event_id: %v", err)
	}
	server, _ := id.Server()
	if _, err := ident.ParseServerName(string(server)); err != nil {
		return malformed("P-03", "event_id %s: %v", id, err)
	}
	return nil
}

// checkRoomID: up to room version 11 a room id has a domain, from 12 on it is a hash (X-14, G-C2). The create event of
// version 12 has none; one that has is well formed, and refused by the authorisation rules.
func checkRoomID(v *Version, f *fields) error {
	if v.HashRoomID && f[fieldType].IsText(typeCreate) {
		if kind := f[fieldRoomID].Kind(); kind != canonicaljson.Invalid && kind != canonicaljson.String {
			return malformed("P-03", "room_id is not a string: %.80s", f[fieldRoomID].Canonical())
		}
		return nil
	}
	text, ok := f[fieldRoomID].Text()
	if !ok {
		return malformed("P-03", "room_id is absent or not a string: %.80s", f[fieldRoomID].Canonical())
	}
	id, err := ident.ParseRoomID(text)
	if err != nil {
		return malformed("X-14", "room_id: %v", err)
	}
	if _, hasDomain := id.Server(); hasDomain == v.HashRoomID {
		return malformed("X-14", "room_id %s is not of the form of room version %s", id, v.ID)
	}
	return nil
}

// checkReferences judges the elements of prev_events or auth_events, and their number unless most is 0.
func checkReferences(v *Version, name string, list canonicaljson.Value, most int) error {
	count := 0
	for element := range list.Elements() {
		if count++; most > 0 && count > most {
			return malformed("P-04", "%s lists %d events, at most %d are allowed", name, list.Len(), most)
		}
		text, ok := referenceText(v, element)
		if !ok {
			return malformed("P-03", "%s holds what is no reference in room version %s: %.80s", name, v.ID, element.Canonical())
		}
		if _, err := ident.ParseEventID(text); err != nil {
			return malformed("P-02", "%s: %v", name, err)
		}
	}
	return nil
}

// referenceText is the event id in an element of prev_events or auth_events.
func referenceText(v *Version, element canonicaljson.Value) (id string, ok bool) {
	if v.References == RefIDs {
		return element.Text()
	}
	pair := [2]canonicaljson.Value{}
	count := 0
	for part := range element.Elements() {
		if count == len(pair) {
			return "", false
		}
		pair[count] = part
		count++
	}
	if pair[1].Kind() != canonicaljson.Object {
		return "", false
	}
	return pair[0].Text()
}
