// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Parse reads an event from the network. It refuses, with a *FormatError, what is no event of the room version: such an event
// is dropped (P-25). unsigned is dropped (P-09), whatever it holds (P-19), and so is event_id where the hash is the id (P-13). If the content hash does
// not match, the result is the redacted event (P-15). The signatures are still to be verified, by VerifySignatures.
func Parse(v *Version, wire []byte) (*Event, error) {
	return parse(v, wire, demands{MaxPrevEvents, MaxAuthEvents, false})
}

// ParseBackfilled is Parse for replies to /backfill, where the number of prev_events and auth_events is not limited: rooms
// hold old events from before the limits (P-04).
func ParseBackfilled(v *Version, wire []byte) (*Event, error) { return parse(v, wire, demands{}) }

// ParseBare is ParseBackfilled for events that nobody sent, as drafts and test rooms hold them: they need neither hashes nor
// signatures. A content hash that is there must match as always; where the hash is the id, it is that of the bytes as they are.
func ParseBare(v *Version, wire []byte) (*Event, error) { return parse(v, wire, demands{bare: true}) }

// demands is what differs in what is asked of an event.
type demands struct {
	maxPrev, maxAuth int  // 0 for no limit
	bare             bool // hashes and signatures may be absent
}

func parse(v *Version, wire []byte, d demands) (*Event, error) {
	w := borrow()
	defer w.giveBack()
	root, err := w.parseRoot(v, wire)
	if err != nil {
		return nil, err
	}
	var f fields
	f.read(root)
	e := newEvent(v, root, &f)
	if err := checkFormat(e, &f, d.bare); err != nil {
		return nil, err
	}
	if err := e.refer(&f, d); err != nil {
		return nil, err
	}
	named := f[fieldHashes].Get("sha256")
	w.buffer = appendHashed(w.buffer[:0], root, &f)
	e.mismatch = named.Kind() != canonicaljson.Invalid && !isContentHash(named, sha256.Sum256(w.buffer))
	w.buffer = v.redaction.appendRedacted(w.buffer[:0], root, &f, false)
	e.setID(eventID(v, &f, w.buffer))
	if e.mismatch {
		return e.Redact(), nil
	}
	return e, nil
}

// notPartOfEvent is what servers add to an event on the way (P-09), and what is no part of it where its hash is its id (P-13).
var notPartOfEvent = [...]string{"unsigned", "event_id"}

// parseRoot reads the object that is the event, without what is not part of it.
func (w *workspace) parseRoot(v *Version, wire []byte) (canonicaljson.Value, error) {
	without := notPartOfEvent[:]
	if v.EventIDFormat == IDField {
		without = without[:1]
	}
	root, err := w.outline.Read(wire, v.Rules, without...)
	if err != nil {
		return root, malformed("P-25", "%v", err)
	}
	if size := len(root.Canonical()); size > MaxSize {
		return root, malformed("P-01", "the event has %d bytes, at most %d are allowed", size, MaxSize)
	}
	return root, nil
}

// ParseStored reads what Event.JSON gave before, under the id that the event had. It trusts both: nothing is hashed, and no
// format is checked. A field of the wrong type reads as absent.
func ParseStored(v *Version, id ident.EventID, canonical []byte) (*Event, error) {
	w := borrow()
	defer w.giveBack()
	root, err := w.outline.Read(canonical, v.Rules)
	if err != nil {
		return nil, fmt.Errorf("parse stored event %s: %w", id, err)
	}
	var f fields
	f.read(root)
	e := newEvent(v, root, &f)
	_ = e.refer(&f, demands{}) // one of the wrong type reads as absent
	e.setID(id)
	return e, nil
}

// eventID is the id by the room version's format (P-12): message is the redacted event without signatures.
func eventID(v *Version, f *fields, message []byte) ident.EventID {
	if v.EventIDFormat == IDField {
		id, _ := f[fieldEventID].Text()
		return ident.EventID(id)
	}
	encoding := base64.RawURLEncoding
	if v.EventIDFormat == IDHashStd {
		encoding = base64.RawStdEncoding
	}
	sum := sha256.Sum256(message)
	var id [1 + encodedHashSize]byte
	id[0] = '$'
	encoding.Encode(id[1:], sum[:])
	return ident.EventID(id[:])
}
