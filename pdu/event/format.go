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

// fieldOf is the field with this key. Keys match exactly (G-J6).
func fieldOf(key string) (f field, ok bool) {
	switch key {
	case "auth_events":
		return fieldAuthEvents, true
	case "content":
		return fieldContent, true
	case "depth":
		return fieldDepth, true
	case "event_id":
		return fieldEventID, true
	case "hashes":
		return fieldHashes, true
	case "membership":
		return fieldMembership, true
	case "origin":
		return fieldOrigin, true
	case "origin_server_ts":
		return fieldOriginServerTS, true
	case "prev_events":
		return fieldPrevEvents, true
	case "prev_state":
		return fieldPrevState, true
	case "room_id":
		return fieldRoomID, true
	case "sender":
		return fieldSender, true
	case "signatures":
		return fieldSignatures, true
	case "state_key":
		return fieldStateKey, true
	case "type":
		return fieldType, true
	}
	return 0, false
}

// fields is the members of an event by field, as they came; the zero Value for what is absent.
type fields [fieldType + 1]canonicaljson.Value

// read sorts the members of an event out in one walk.
func (f *fields) read(root canonicaljson.Value) {
	for key, value := range root.Members() {
		if known, ok := fieldOf(key); ok {
			f[known] = value
		}
	}
}

// fieldKinds is what fields must be, beyond those whose values are looked at one by one.
var fieldKinds = [...]struct {
	name  string
	field field
	kind  canonicaljson.Kind
}{
	{"auth_events", fieldAuthEvents, canonicaljson.Array},
	{"content", fieldContent, canonicaljson.Object},
	{"hashes", fieldHashes, canonicaljson.Object},
	{"prev_events", fieldPrevEvents, canonicaljson.Array},
	{"signatures", fieldSignatures, canonicaljson.Object},
	{"type", fieldType, canonicaljson.String},
}

// checkFormat holds the fields, and the event that was made of them, against the format of the room version (P-02, P-03, P-05, P-07).
func checkFormat(e *Event, f *fields, bare bool) error {
	for _, want := range &fieldKinds {
		if value := f[want.field]; value.Kind() != want.kind && !(bare && mayLack(want.field, value)) {
			return malformed("P-03", "%s is absent or of the wrong type: %.80s", want.name, value.Canonical())
		}
	}
	hash := f[fieldHashes].Get("sha256")
	if hash.Kind() != canonicaljson.String && !(bare && mayLack(fieldHashes, hash)) {
		return malformed("P-03", "hashes.sha256 is absent or of the wrong type: %.80s", hash.Canonical())
	}
	if len(e.typ) > maxKeyLength {
		return malformed("P-02", "type has %d bytes, at most %d are allowed", len(e.typ), maxKeyLength)
	}
	if key := f[fieldStateKey]; !e.isState && key.Kind() != canonicaljson.Invalid {
		return malformed("P-07", "state_key is not a string: %.80s", key.Canonical())
	}
	if len(e.key) > maxKeyLength {
		return malformed("P-02", "state_key has %d bytes, at most %d are allowed", len(e.key), maxKeyLength)
	}
	if ts := f[fieldOriginServerTS]; e.ts == 0 && !isInteger(ts) {
		return malformed("P-03", "origin_server_ts is not an integer: %.80s", ts.Canonical())
	}
	if depth := f[fieldDepth]; e.depth == 0 && !isInteger(depth) || e.depth < 0 || e.depth > e.version.MaxDepth {
		return malformed("P-05", "depth is not an integer from 0 to %d: %.80s", e.version.MaxDepth, depth.Canonical())
	}
	return checkIdentifiers(e, f)
}

// isInteger tells a 0 from what an event takes for one.
func isInteger(value canonicaljson.Value) bool {
	_, ok := value.Int()
	return ok
}

// mayLack reports whether a bare event may do without the value.
func mayLack(name field, value canonicaljson.Value) bool {
	return value.Kind() == canonicaljson.Invalid && (name == fieldHashes || name == fieldSignatures)
}

// checkIdentifiers parses sender, room_id and event_id (P-02, X-13 to X-15).
func checkIdentifiers(e *Event, f *fields) error {
	if sender := f[fieldSender]; sender.Kind() != canonicaljson.String {
		return malformed("P-03", "sender is absent or not a string: %.80s", sender.Canonical())
	}
	if _, err := ident.ParseUserID(string(e.sender)); err != nil {
		return malformed("P-02", "sender: %v", err)
	}
	if err := checkRoomID(e, f[fieldRoomID]); err != nil {
		return err
	}
	if e.version.EventIDFormat != IDField {
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
func checkRoomID(e *Event, field canonicaljson.Value) error {
	hashed := e.version.HashRoomID
	if hashed && e.typ == typeCreate {
		if e.hasRoom && field.Kind() != canonicaljson.String {
			return malformed("P-03", "room_id is not a string: %.80s", field.Canonical())
		}
		return nil
	}
	if field.Kind() != canonicaljson.String {
		return malformed("P-03", "room_id is absent or not a string: %.80s", field.Canonical())
	}
	id, err := ident.ParseRoomID(string(e.room))
	if err != nil {
		return malformed("X-14", "room_id: %v", err)
	}
	if _, hasDomain := id.Server(); hasDomain == hashed {
		return malformed("X-14", "room_id %s is not of the form of room version %s", id, e.version.ID)
	}
	return nil
}

// appendReferences reads and judges the elements of prev_events or auth_events, and their number unless most is 0.
func appendReferences(ids []ident.EventID, v *Version, name string, list canonicaljson.Value, most int) ([]ident.EventID, error) {
	count := 0
	for element := range list.Elements() {
		if count++; most > 0 && count > most {
			return ids, malformed("P-04", "%s lists %d events, at most %d are allowed", name, list.Len(), most)
		}
		text, ok := referenceText(v, element)
		if !ok {
			return ids, malformed("P-03", "%s holds what is no reference in room version %s: %.80s", name, v.ID, element.Canonical())
		}
		id, err := ident.ParseEventID(text)
		if err != nil {
			return ids, malformed("P-02", "%s: %v", name, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
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
