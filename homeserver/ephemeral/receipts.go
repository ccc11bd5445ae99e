// SPDX-License-Identifier: Apache-2.0

package ephemeral

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const receiptsSchema = `
CREATE TABLE hs_receipts (
	room     TEXT    NOT NULL,
	user     TEXT    NOT NULL,
	type     TEXT    NOT NULL, -- m.read or m.read.private
	thread   TEXT    NOT NULL, -- '' for a receipt without one
	event    TEXT    NOT NULL,
	ts       INTEGER NOT NULL, -- ms
	position INTEGER NOT NULL,
	PRIMARY KEY (room, user, type, thread)
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_receipts_changes ON hs_receipts (room, position);`

// The types of receipts and markers.
const (
	PrivateReceipt = "m.read.private" // its user's alone to know (M-53)
	fullyRead      = "m.fully_read"
)

// Receipts gives the receipts of a room that came after one position and not after another, in order. Private ones are only for
// their users.
func Receipts(tx *persistence.Tx, room ident.RoomID, after, through persistence.Position) (list []messaging.Receipt, err error) {
	err = tx.Query(`SELECT user, type, thread, event, ts FROM hs_receipts WHERE room = ? AND position > ? AND position <= ? ORDER BY position`,
		[]any{string(room), after, through}, func(r persistence.Row) error {
			receipt := messaging.Receipt{Room: room}
			err := r.Scan(&receipt.User, &receipt.Type, &receipt.Thread, &receipt.Event, &receipt.TS)
			list = append(list, receipt)
			return err
		})
	return list, err
}

// putReceipt writes a receipt. One for an event before that of the last one changes nothing.
func putReceipt(tx *persistence.Tx, r messaging.Receipt) (news bool, err error) {
	var last ident.EventID
	_, err = tx.QueryRow(`SELECT event FROM hs_receipts WHERE room = ? AND user = ? AND type = ? AND thread = ?`,
		[]any{string(r.Room), string(r.User), r.Type, r.Thread}, &last)
	if err != nil || last == r.Event {
		return false, err
	}
	at, err := positionOf(tx, r.Room, r.Event)
	if err != nil {
		return false, err
	}
	before, err := positionOf(tx, r.Room, last)
	if err != nil || at != 0 && at < before {
		return false, err
	}
	position, err := stream.Append(tx, stream.Entry{Kind: stream.Receipt, Room: r.Room, User: r.User, Ref: r.Type})
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO hs_receipts (room, user, type, thread, event, ts, position) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		string(r.Room), string(r.User), r.Type, r.Thread, string(r.Event), r.TS, position)
	if err != nil {
		return false, err
	}
	return true, push.Read(tx, r.User, r.Room, r.Thread, at)
}

// positionOf is where an event stands in the sequence, 0 if it is not known or not of the room.
func positionOf(tx *persistence.Tx, room ident.RoomID, id ident.EventID) (persistence.Position, error) {
	if id == "" {
		return 0, nil
	}
	e, found, err := tx.Event(id)
	if err != nil || !found || e.Room != room {
		return 0, err
	}
	return e.Position, nil
}

// postReceipt is POST /rooms/{roomId}/receipt/{receiptType}/{eventId}.
func (e *Ephemeral) postReceipt(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Thread *string `json:"thread_id"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	kind, thread := r.Param("type"), ""
	if body.Thread != nil {
		if thread = *body.Thread; thread == "" || len(thread) > maxThread || kind == fullyRead {
			return api.Reply{}, api.InvalidParam("thread_id: a thread's root or main, and none with m.fully_read")
		}
	}
	switch kind {
	case messaging.ReadReceipt, PrivateReceipt, fullyRead:
	default:
		return api.Reply{}, api.InvalidParam("%q is no type of receipt", kind)
	}
	return e.mark(ctx, r, thread, map[string]string{kind: r.Param("eventID")})
}

// postMarkers is POST /rooms/{roomId}/read_markers.
func (e *Ephemeral) postMarkers(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		FullyRead string `json:"m.fully_read"`
		Read      string `json:"m.read"`
		Private   string `json:"m.read.private"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	return e.mark(ctx, r, "", map[string]string{fullyRead: body.FullyRead, messaging.ReadReceipt: body.Read, PrivateReceipt: body.Private})
}

// mark writes receipts and markers of the caller, for events by their types; "" is none.
func (e *Ephemeral) mark(ctx context.Context, r *api.Request, thread string, events map[string]string) (api.Reply, error) {
	room, err := e.take(ctx, r)
	if err != nil {
		return api.Reply{}, err
	}
	ids := map[string]ident.EventID{}
	for kind, text := range events {
		if text == "" {
			continue
		}
		if ids[kind], err = ident.ParseEventID(text); err != nil {
			return api.Reply{}, api.InvalidParam("%v", err)
		}
	}
	now := time.Now().UnixMilli()
	var news bool
	err = e.store.Update(ctx, func(tx *persistence.Tx) error {
		for kind, id := range ids {
			if kind == fullyRead {
				if err := putMarker(tx, room, r.User, id); err != nil {
					return err
				}
				continue
			}
			put, err := putReceipt(tx, messaging.Receipt{Room: room, User: r.User, Type: kind, Event: id, Thread: thread, TS: now})
			if err != nil {
				return err
			}
			news = news || put && kind == messaging.ReadReceipt
		}
		return nil
	})
	if err != nil || !news {
		return api.Reply{}, err
	}
	return api.Reply{}, whileInRoom(e.teller.SendReceipt(ctx, messaging.Receipt{
		Room: room, User: r.User, Type: messaging.ReadReceipt, Event: ids[messaging.ReadReceipt], Thread: thread, TS: now,
	}))
}

// putMarker writes where a user has read without a gap, which is account data.
func putMarker(tx *persistence.Tx, room ident.RoomID, user ident.UserID, id ident.EventID) error {
	content, err := json.Marshal(map[string]ident.EventID{"event_id": id})
	if err != nil {
		return fmt.Errorf("encode marker: %w", err)
	}
	return accountdata.Set(tx, user, room, fullyRead, content)
}

// Receipts implements messaging.Receipts.
func (e *Ephemeral) Receipts(_ context.Context, receipts []messaging.Receipt) {
	e.tell(func(tx *persistence.Tx, _ time.Time) error {
		for _, r := range receipts {
			if _, err := putReceipt(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}
