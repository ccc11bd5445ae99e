// SPDX-License-Identifier: Apache-2.0

package accountdata

import (
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_account_data (
	user     TEXT    NOT NULL,
	room     TEXT    NOT NULL, -- '' for the user's own
	type     TEXT    NOT NULL,
	content  TEXT    NOT NULL, -- JSON object
	position INTEGER NOT NULL, -- of its last change
	PRIMARY KEY (user, room, type)
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_account_data_changes ON hs_account_data (user, position);
CREATE TABLE hs_filters (
	user    TEXT    NOT NULL,
	id      INTEGER NOT NULL, -- from 0
	content TEXT    NOT NULL, -- JSON object, as it was given
	PRIMARY KEY (user, id)
) STRICT, WITHOUT ROWID;`

// Item is one piece of account data.
type Item struct {
	Room     ident.RoomID // "" for the user's own
	Type     string
	Content  json.RawMessage
	Position persistence.Position
}

// Set writes a piece of account data, in the caller's job, and enters the change in the stream.
func Set(tx *persistence.Tx, user ident.UserID, room ident.RoomID, kind string, content json.RawMessage) error {
	at, err := stream.Append(tx, stream.Entry{Kind: stream.AccountData, Room: room, User: user, Ref: kind})
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO hs_account_data (user, room, type, content, position) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (user, room, type) DO UPDATE SET content = excluded.content, position = excluded.position`,
		string(user), string(room), kind, string(content), at)
	return err
}

// Get reads a piece of account data.
func Get(tx *persistence.Tx, user ident.UserID, room ident.RoomID, kind string) (content json.RawMessage, found bool, err error) {
	found, err = tx.QueryRow(`SELECT content FROM hs_account_data WHERE user = ? AND room = ? AND type = ?`,
		[]any{string(user), string(room), kind}, &content)
	return content, found, err
}

// Changes gives what of a user's account data, of all rooms and of none, was last changed after one position and not after another,
// in the order of the changes.
func Changes(tx *persistence.Tx, user ident.UserID, after, through persistence.Position) (list []Item, err error) {
	err = tx.Query(`SELECT room, type, content, position FROM hs_account_data WHERE user = ? AND position > ? AND position <= ?
		ORDER BY position`, []any{string(user), after, through}, func(r persistence.Row) error {
		var item Item
		err := r.Scan(&item.Room, &item.Type, &item.Content, &item.Position)
		list = append(list, item)
		return err
	})
	return list, err
}

// InRoom gives a user's account data of one room.
func InRoom(tx *persistence.Tx, user ident.UserID, room ident.RoomID) (list []Item, err error) {
	err = tx.Query(`SELECT type, content, position FROM hs_account_data WHERE user = ? AND room = ?`, []any{string(user), string(room)},
		func(r persistence.Row) error {
			item := Item{Room: room}
			err := r.Scan(&item.Type, &item.Content, &item.Position)
			list = append(list, item)
			return err
		})
	return list, err
}

// count tells how many pieces a user has.
func count(tx *persistence.Tx, user ident.UserID) (n int, err error) {
	_, err = tx.QueryRow(`SELECT count(*) FROM hs_account_data WHERE user = ?`, []any{string(user)}, &n)
	return n, err
}

// Filter reads a filter of a user.
func Filter(tx *persistence.Tx, user ident.UserID, id int64) (content json.RawMessage, found bool, err error) {
	found, err = tx.QueryRow(`SELECT content FROM hs_filters WHERE user = ? AND id = ?`, []any{string(user), id}, &content)
	return content, found, err
}

// addFilter keeps a filter; one that the user has already keeps its id.
func addFilter(tx *persistence.Tx, user ident.UserID, content json.RawMessage) (id int64, err error) {
	found, err := tx.QueryRow(`SELECT id FROM hs_filters WHERE user = ? AND content = ?`, []any{string(user), string(content)}, &id)
	if err != nil || found {
		return id, err
	}
	if _, err = tx.QueryRow(`SELECT count(*) FROM hs_filters WHERE user = ?`, []any{string(user)}, &id); err != nil {
		return 0, err
	}
	if id >= maxFilters {
		return 0, errTooMany("filters", maxFilters)
	}
	_, err = tx.Exec(`INSERT INTO hs_filters (user, id, content) VALUES (?, ?, ?)`, string(user), id, string(content))
	return id, err
}
