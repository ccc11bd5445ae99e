// SPDX-License-Identifier: Apache-2.0

package push

import (
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_push_rules (
	user    TEXT PRIMARY KEY,
	changes TEXT NOT NULL -- JSON: what is not as the defaults are
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_pushers (
	user    TEXT NOT NULL,
	app     TEXT NOT NULL,
	pushkey TEXT NOT NULL,
	content TEXT NOT NULL, -- JSON, as clients get it
	PRIMARY KEY (user, app, pushkey)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_unread (
	user      TEXT    NOT NULL,
	room      TEXT    NOT NULL,
	position  INTEGER NOT NULL, -- of an event that notifies the user, and has not been read
	thread    TEXT    NOT NULL, -- its root, '' of the main timeline
	highlight INTEGER NOT NULL,
	PRIMARY KEY (user, room, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_notices (
	user      TEXT    NOT NULL,
	position  INTEGER NOT NULL, -- of an event that notified the user, read or not
	room      TEXT    NOT NULL,
	ts        INTEGER NOT NULL, -- ms, when it did
	highlight INTEGER NOT NULL,
	actions   TEXT    NOT NULL, -- JSON, of the rule that matched
	PRIMARY KEY (user, position)
) STRICT, WITHOUT ROWID;`

// ChangesOf gives what a user has made of the default rules.
func ChangesOf(tx *persistence.Tx, user ident.UserID) (changes Changes, err error) {
	var stored []byte
	found, err := tx.QueryRow(`SELECT changes FROM hs_push_rules WHERE user = ?`, []any{string(user)}, &stored)
	if err != nil || !found {
		return Changes{}, err
	}
	if err := json.Unmarshal(stored, &changes); err != nil {
		return Changes{}, fmt.Errorf("%w: push rules of %s: %w", persistence.ErrCorrupt, user, err)
	}
	return changes, nil
}

// Keep stores a user's rules, and shows them as the account data m.push_rules: also for a user who is new, with no changes.
func Keep(tx *persistence.Tx, user ident.UserID, changes Changes) error {
	stored, err := json.Marshal(changes)
	if err != nil {
		return fmt.Errorf("encode push rules: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO hs_push_rules (user, changes) VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET changes = excluded.changes`,
		string(user), string(stored))
	if err != nil {
		return err
	}
	shown, err := json.Marshal(map[string]Ruleset{"global": changes.Rules(user)})
	if err != nil {
		return fmt.Errorf("encode push rules: %w", err)
	}
	return accountdata.Set(tx, user, "", "m.push_rules", shown)
}

// Count is how many events a user has not read.
type Count struct {
	Notifications int `json:"notification_count"`
	Highlights    int `json:"highlight_count"`
}

// Unread counts what a user has not read in a room: on the main timeline, and by root in threads (S-21).
func Unread(tx *persistence.Tx, user ident.UserID, room ident.RoomID) (timeline Count, threads map[string]Count, err error) {
	threads = map[string]Count{}
	err = tx.Query(`SELECT thread, count(*), sum(highlight) FROM hs_unread WHERE user = ? AND room = ? GROUP BY thread`,
		[]any{string(user), string(room)}, func(r persistence.Row) error {
			var thread string
			var count Count
			err := r.Scan(&thread, &count.Notifications, &count.Highlights)
			if thread == "" {
				timeline = count
			} else {
				threads[thread] = count
			}
			return err
		})
	return timeline, threads, err
}

// Everything is the thread of a receipt that is not threaded.
const Everything = ""

// Main is the thread of a receipt that is for the main timeline only.
const Main = "main"

// Read forgets what a user has read: all up to a position, or that of one thread (S-22). What changes is entered in the stream.
func Read(tx *persistence.Tx, user ident.UserID, room ident.RoomID, thread string, through persistence.Position) error {
	const all = `DELETE FROM hs_unread WHERE user = ? AND room = ? AND position <= ?`
	args := []any{string(user), string(room), through}
	query := all
	if thread != Everything {
		query = all + ` AND thread = ?`
		if thread == Main {
			thread = ""
		}
		args = append(args, thread)
	}
	n, err := tx.Exec(query, args...)
	if err != nil || n == 0 {
		return err
	}
	_, err = stream.Append(tx, stream.Entry{Kind: stream.Counts, Room: room, User: user})
	return err
}

// Forget forgets what a user who left a room at a position had not read there until then.
func Forget(tx *persistence.Tx, user ident.UserID, room ident.RoomID, through persistence.Position) error {
	_, err := tx.Exec(`DELETE FROM hs_unread WHERE user = ? AND room = ? AND position <= ?`, string(user), string(room), through)
	return err
}
