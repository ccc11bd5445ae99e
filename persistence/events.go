// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// Events are appended in the order in which they arrive and are numbered; a verdict later fills in what is null. The only
// index over random keys is that of the ids: 32 bytes each where the id is a hash.
const eventsSchema = `
CREATE TABLE events (
	nid      INTEGER PRIMARY KEY,
	room     INTEGER NOT NULL,        -- rooms.nid
	id       ANY     NOT NULL UNIQUE, -- BLOB: the hash that the id spells in URL-safe base64; TEXT: an id of another form
	outcome  INTEGER NOT NULL,        -- 0 while it is staged
	redacted INTEGER NOT NULL,        -- 1 if the content hash did not match
	reduced  INTEGER,                 -- events.nid of the redaction that took effect on it
	past     INTEGER NOT NULL,        -- 1: something in the graph follows it, though it may have no place there; 2: likewise, and it is history
	ts       INTEGER NOT NULL,        -- ms; its origin_server_ts, which may be any number
	position INTEGER,                 -- in the one sequence; of accepted events in the graph
	before   BLOB,                    -- root of the state before it; null while its place in the graph is not known
	after    BLOB,                    -- root of the state after it; null when that is the state before it
	origin   INTEGER,                 -- servers.nid, who handed it to us first
	arrival  INTEGER,                 -- how it came then
	received INTEGER,                 -- ms
	judged   INTEGER,                 -- ms from then to its first judgement
	json     BLOB    NOT NULL         -- canonical, as other servers get it
) STRICT;
CREATE UNIQUE INDEX events_position ON events (position) WHERE position IS NOT NULL;
CREATE TABLE citations (
	auth  INTEGER NOT NULL, -- events.nid
	event INTEGER NOT NULL, -- events.nid of a state event that has it among its auth_events
	PRIMARY KEY (auth, event)
) STRICT, WITHOUT ROWID;`

// Values of Event.Outcome.
const (
	OutcomeStaged      = 0
	OutcomeAccepted    = 1
	OutcomeSoftFailed  = 2
	OutcomeRejected    = 3
	OutcomeQuarantined = 4 // of verdicts only: the event itself is still staged, or unverified
	OutcomeDropped     = 5 // of verdicts only: the event is not stored
)

// Event is one stored event.
type Event struct {
	NID         int64
	RoomNID     int64
	Room        ident.RoomID
	RoomVersion string
	ID          ident.EventID
	Outcome     int
	Redacted    bool
	RedactedBy  ident.EventID // the redaction that took effect on it, "" for none
	Past        int           // a value of the pdu layer
	TS          int64         // origin_server_ts: ms, and whatever its server likes
	Position    Position      // 0 for none
	Before      []byte        // nil while the place in the graph is not known
	After       []byte        // equal to Before when the event changes no state
	JSON        []byte

	// How it came. AddEvent and SettleEvent store it, EventArrival gives it.
	Origin     int64 // see ServerNID
	Arrival    int   // a value of the pdu layer
	ReceivedAt int64 // ms
	JudgedAt   int64 // ms, 0 while it is staged; the first judgement counts
}

const eventColumns = `SELECT e.nid, e.room, r.id, r.version, e.id, e.outcome, e.redacted, e.past, e.ts, coalesce(e.position, 0),
	e.before, coalesce(e.after, e.before), e.json, (SELECT x.id FROM events x WHERE x.nid = e.reduced) FROM events e JOIN rooms r ON r.nid = e.room`

func scanEvent(r rowScanner) (e Event, err error) {
	var key, by any
	err = r.Scan(&e.NID, &e.RoomNID, &e.Room, &e.RoomVersion, &key, &e.Outcome, &e.Redacted, &e.Past, &e.TS, &e.Position, &e.Before,
		&e.After, &e.JSON, &by)
	if err == nil && by != nil {
		e.RedactedBy, err = eventID(by)
	}
	if err != nil {
		return Event{}, err
	}
	e.ID, err = eventID(key)
	return e, err
}

// Event gives one event.
func (tx *Tx) Event(id ident.EventID) (e Event, found bool, err error) {
	err = tx.query(eventColumns+` WHERE e.id = ?`, []any{eventKey(id)}, func(r rowScanner) error {
		found = true
		e, err = scanEvent(r)
		return err
	})
	return e, found, err
}

// Events gives those of many events that are stored, in any order.
func (tx *Tx) Events(ids []ident.EventID) (list []Event, err error) {
	const portion = 32 // so the statement is always the same; a key that is null is nobody's
	query := eventColumns + ` WHERE e.id IN (?` + strings.Repeat(`, ?`, portion-1) + `)`
	for part := range slices.Chunk(ids, portion) {
		args := make([]any, portion)
		for i, id := range part {
			args[i] = eventKey(id)
		}
		err := tx.query(query, args, func(r rowScanner) error {
			e, err := scanEvent(r)
			list = append(list, e)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// EventByNID gives one event by its number.
func (tx *Tx) EventByNID(nid int64) (e Event, found bool, err error) {
	err = tx.query(eventColumns+` WHERE e.nid = ?`, []any{nid}, func(r rowScanner) error {
		found = true
		e, err = scanEvent(r)
		return err
	})
	return e, found, err
}

// EventsSince gives up to limit events with positions after a position, in order.
func (tx *Tx) EventsSince(after Position, limit int) ([]Event, error) {
	return tx.events(` WHERE e.position > ? ORDER BY e.position LIMIT ?`, int64(after), limit)
}

// EventExists says whether an event is stored and what became of it.
func (tx *Tx) EventExists(id ident.EventID) (nid int64, outcome int, inGraph, found bool, err error) {
	found, err = tx.queryRow(`SELECT nid, outcome, before IS NOT NULL FROM events WHERE id = ?`,
		[]any{eventKey(id)}, &nid, &outcome, &inGraph)
	return nid, outcome, inGraph, found, err
}

// EventStanding is what became of an event, and whether no more is stored of it than redaction leaves for no other reason than that
// its content hash did not match. An event that is not stored is staged, and whole.
func (tx *Tx) EventStanding(id ident.EventID) (outcome int, reduced bool, err error) {
	_, err = tx.queryRow(`SELECT outcome, redacted = 1 AND reduced IS NULL FROM events WHERE id = ?`, []any{eventKey(id)}, &outcome, &reduced)
	return outcome, reduced, err
}

// Known is what there is of a stored event.
type Known struct {
	NID     int64
	InGraph bool
}

// KnownEvents gives those of many events that are stored.
func (tx *Tx) KnownEvents(ids []ident.EventID) (map[ident.EventID]Known, error) {
	known := map[ident.EventID]Known{}
	for part := range slices.Chunk(ids, rowsAtOnce) {
		args := make([]any, rowsAtOnce) // a key that is null is nobody's
		for i, id := range part {
			args[i] = eventKey(id)
		}
		err := tx.query(`SELECT id, nid, before IS NOT NULL FROM events WHERE id IN (?`+strings.Repeat(`, ?`, rowsAtOnce-1)+`)`, args,
			func(r rowScanner) error {
				var key any
				var k Known
				if err := r.Scan(&key, &k.NID, &k.InGraph); err != nil {
					return err
				}
				id, err := eventID(key)
				known[id] = k
				return err
			})
		if err != nil {
			return nil, err
		}
	}
	return known, nil
}

// AddEvent appends an event with NID 0 and gives it its number. An event that is stored already stays as it is and gives its
// own number.
func (tx *Tx) AddEvent(e Event) (nid int64, added bool, err error) {
	key := eventKey(e.ID)
	nid, added, err = tx.insert(`INSERT INTO events (room, id, outcome, redacted, past, ts, position, before, after, json, origin, arrival,
		received, judged) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		e.RoomNID, key, e.Outcome, e.Redacted, e.Past, e.TS, orNull(e.Position), rootOrNull(e.Before), afterOrNull(e),
		e.JSON, e.Origin, e.Arrival, e.ReceivedAt, judgedAfter(e))
	if err != nil || added {
		return nid, added, err
	}
	found, err := tx.queryRow(`SELECT nid FROM events WHERE id = ?`, []any{key}, &nid)
	if err == nil && !found {
		err = fmt.Errorf("%w: event %s is neither new nor stored", ErrCorrupt, e.ID)
	}
	return nid, false, err
}

// SettleEvent stores what became of an event: outcome, past, place in the graph and position. A position is never changed.
func (tx *Tx) SettleEvent(e Event) error {
	return tx.exec(`UPDATE events SET outcome = ?, past = ?, position = coalesce(position, ?), before = ?, after = ?,
		judged = coalesce(judged, nullif(?, 0) - received) WHERE nid = ?`,
		e.Outcome, e.Past, orNull(e.Position), rootOrNull(e.Before), afterOrNull(e), e.JudgedAt, e.NID)
}

func judgedAfter(e Event) any {
	if e.JudgedAt == 0 {
		return nil
	}
	return e.JudgedAt - e.ReceivedAt
}

// EventArrival is how an event came here: who handed it over first, how and when, and when it was first judged.
type EventArrival struct {
	Origin     ident.ServerName
	Arrival    int   // a value of the pdu layer
	ReceivedAt int64 // ms
	JudgedAt   int64 // ms, 0 while it is staged
	Position   Position
}

// EventArrival gives how an event came here.
func (tx *Tx) EventArrival(id ident.EventID) (a EventArrival, found bool, err error) {
	found, err = tx.queryRow(`SELECT coalesce(s.name, ''), coalesce(e.arrival, 0), coalesce(e.received, 0),
		coalesce(e.received + e.judged, 0), coalesce(e.position, 0)
		FROM events e LEFT JOIN servers s ON s.nid = e.origin WHERE e.id = ?`, []any{eventKey(id)},
		&a.Origin, &a.Arrival, &a.ReceivedAt, &a.JudgedAt, &a.Position)
	return a, found, err
}

// SetEventJSON stores an event's text anew: with signatures that it had not before, or whole where there was what redaction leaves.
func (tx *Tx) SetEventJSON(nid int64, text []byte) error {
	return tx.exec(`UPDATE events SET json = ? WHERE nid = ?`, text, nid)
}

// Cite notes that a state event has others among its auth_events.
func (tx *Tx) Cite(event int64, auth []int64) error {
	const portion = 10 // the usual most of auth_events: so many different statements
	for part := range slices.Chunk(auth, portion) {
		args := make([]any, 0, 2*portion)
		for _, nid := range part {
			args = append(args, nid, event)
		}
		err := tx.exec(`INSERT OR IGNORE INTO citations (auth, event) VALUES (?, ?)`+strings.Repeat(`, (?, ?)`, len(part)-1), args...)
		if err != nil {
			return err
		}
	}
	return nil
}

// Citing lists up to limit state events that have an event among their auth_events, newest first, those with smaller numbers
// than before when it is not 0.
func (tx *Tx) Citing(auth ident.EventID, before int64, limit int) (nids []int64, ids []ident.EventID, err error) {
	err = tx.query(`SELECT e.nid, e.id FROM citations c JOIN events e ON e.nid = c.event
		WHERE c.auth = (SELECT nid FROM events WHERE id = ?) AND (? = 0 OR c.event < ?) ORDER BY c.event DESC LIMIT ?`,
		[]any{eventKey(auth), before, before, limit}, func(r rowScanner) error {
			var nid int64
			var key any
			if err := r.Scan(&nid, &key); err != nil {
				return err
			}
			id, err := eventID(key)
			nids, ids = append(nids, nid), append(ids, id)
			return err
		})
	return nids, ids, err
}

func orNull(p Position) any {
	if p == 0 {
		return nil
	}
	return int64(p)
}

func rootOrNull(root []byte) any {
	if root == nil {
		return nil
	}
	return root
}

func afterOrNull(e Event) any {
	if e.Before == nil || string(e.After) == string(e.Before) {
		return nil
	}
	return e.After
}

// idEncoding spells the hash in an event id of room versions 4 and up. Strict: the two spare bits of the last character must
// be zero, or two ids would have one key.
var idEncoding = base64.RawURLEncoding.Strict()

// eventKey is the form in which an event id is stored and looked up. The two forms never meet: SQLite holds no TEXT equal to
// a BLOB.
func eventKey(id ident.EventID) any {
	const length = 1 + 43
	if len(id) == length {
		if hash, err := idEncoding.DecodeString(string(id[1:])); err == nil {
			return hash
		}
	}
	return string(id)
}

func eventID(key any) (ident.EventID, error) {
	switch key := key.(type) {
	case []byte:
		return ident.EventID("$" + idEncoding.EncodeToString(key)), nil
	case string:
		return ident.EventID(key), nil
	}
	return "", fmt.Errorf("%w: event id of type %T", ErrCorrupt, key)
}
