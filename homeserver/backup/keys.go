// SPDX-License-Identifier: Apache-2.0

package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strconv"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// key is a session's key.
type key struct {
	First     int64           `json:"first_message_index"`
	Forwarded int64           `json:"forwarded_count"`
	Verified  bool            `json:"is_verified"`
	Data      json.RawMessage `json:"session_data"`
}

// worthMore tells whether a key takes the place of another: verified before not, from an earlier message, forwarded fewer times.
func (k key) worthMore(than key) bool {
	switch {
	case k.Verified != than.Verified:
		return k.Verified
	case k.First != than.First:
		return k.First < than.First
	}
	return k.Forwarded < than.Forwarded
}

type roomKeys struct {
	Sessions map[string]key `json:"sessions"`
}

type allKeys struct {
	Rooms map[string]roomKeys `json:"rooms"`
}

// readKeys reads the keys of a request, whose path says of what they are.
func readKeys(r *api.Request) (all allKeys, err error) {
	room, session := r.Param("roomID"), r.Param("sessionID")
	switch {
	case session != "":
		var one key
		err = r.Decode(&one)
		all.Rooms = map[string]roomKeys{room: {map[string]key{session: one}}}
	case room != "":
		var of roomKeys
		err = r.Decode(&of)
		all.Rooms = map[string]roomKeys{room: of}
	default:
		err = r.Decode(&all)
	}
	if err != nil {
		return all, err
	}
	for room, of := range all.Rooms {
		if _, err := ident.ParseRoomID(room); err != nil {
			return all, api.InvalidParam("%v", err)
		}
		for session, k := range of.Sessions {
			data := bytes.TrimSpace(k.Data)
			if session == "" || len(session) > maxID || len(data) == 0 || data[0] != '{' || k.First < 0 || k.Forwarded < 0 {
				return all, api.BadJSON("session %.40q of %s: an id of 1 to %d bytes, counts of 0 or more and session_data are needed", session, room, maxID)
			}
		}
	}
	return all, nil
}

// wantedVersion is the version that a request names.
func wantedVersion(r *api.Request) (int64, error) {
	text := r.Query.Get("version")
	if text == "" {
		return 0, api.MissingParam("version")
	}
	return numberOf(text)
}

func (b *Backups) putKeys(ctx context.Context, r *api.Request) (api.Reply, error) {
	given, err := readKeys(r)
	if err != nil {
		return api.Reply{}, err
	}
	return b.changeKeys(ctx, r, func(tx *persistence.Tx, number int64) (changed bool, err error) {
		newest, err := read(tx, r.User, 0)
		if err != nil {
			return false, err
		}
		if newest.number != number {
			return false, errWrongVersion(newest.Version)
		}
		for room, of := range given.Rooms {
			for session, k := range of.Sessions {
				put, err := putKey(tx, r.User, number, room, session, k)
				if err != nil {
					return false, err
				}
				changed = changed || put
			}
		}
		return changed, nil
	})
}

func putKey(tx *persistence.Tx, user ident.UserID, number int64, room, session string, k key) (put bool, err error) {
	var kept key
	found, err := tx.QueryRow(`SELECT first, forwarded, verified FROM hs_backup_keys WHERE user = ? AND version = ? AND room = ? AND session = ?`,
		[]any{string(user), number, room, session}, &kept.First, &kept.Forwarded, &kept.Verified)
	if err != nil || found && !k.worthMore(kept) {
		return false, err
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO hs_backup_keys (user, version, room, session, first, forwarded, verified, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, string(user), number, room, session, k.First, k.Forwarded, k.Verified, string(k.Data))
	return true, err
}

func (b *Backups) deleteKeys(ctx context.Context, r *api.Request) (api.Reply, error) {
	return b.changeKeys(ctx, r, func(tx *persistence.Tx, number int64) (bool, error) {
		n, err := tx.Exec(`DELETE FROM hs_backup_keys WHERE user = ? AND version = ? AND (? = '' OR room = ?) AND (? = '' OR session = ?)`,
			string(r.User), number, r.Param("roomID"), r.Param("roomID"), r.Param("sessionID"), r.Param("sessionID"))
		return n > 0, err
	})
}

// changeKeys changes keys of a version, and answers with what it is then.
func (b *Backups) changeKeys(ctx context.Context, r *api.Request, change func(*persistence.Tx, int64) (bool, error)) (api.Reply, error) {
	number, err := wantedVersion(r)
	if err != nil {
		return api.Reply{}, err
	}
	var kept *backup
	err = b.store.Update(ctx, func(tx *persistence.Tx) error {
		kept, err = read(tx, r.User, number)
		if err != nil {
			return err
		}
		if kept == nil {
			return errNoBackup
		}
		changed, err := change(tx, number)
		if err != nil || !changed {
			return err
		}
		if kept.etag == math.MaxInt64 {
			kept.etag = 0
		}
		if _, err := tx.Exec(`UPDATE hs_backups SET etag = ? WHERE user = ? AND version = ?`, kept.etag+1, string(r.User), number); err != nil {
			return err
		}
		kept, err = read(tx, r.User, number)
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]any{"etag": kept.ETag, "count": kept.Count})
}

func (b *Backups) getKeys(ctx context.Context, r *api.Request) (api.Reply, error) {
	number, err := wantedVersion(r)
	if err != nil {
		return api.Reply{}, err
	}
	room, session := r.Param("roomID"), r.Param("sessionID")
	all := allKeys{Rooms: map[string]roomKeys{}}
	err = b.store.View(ctx, func(tx *persistence.Tx) error {
		kept, err := read(tx, r.User, number)
		if err != nil {
			return err
		}
		if kept == nil {
			return errNoBackup
		}
		return readAll(tx, r.User, number, room, session, all)
	})
	if err != nil {
		return api.Reply{}, err
	}
	switch {
	case session != "":
		one, found := all.Rooms[room].Sessions[session]
		if !found {
			return api.Reply{}, api.NotFound("no key of session %s in backup %s", session, strconv.FormatInt(number, 10))
		}
		return api.JSON(one)
	case room != "":
		return api.JSON(roomKeys{orNone(all.Rooms[room].Sessions)})
	}
	return api.JSON(all)
}

func orNone(sessions map[string]key) map[string]key {
	if sessions == nil {
		return map[string]key{}
	}
	return sessions
}

// readAll reads keys of a version: of a room and a session, or for "" of all.
func readAll(tx *persistence.Tx, user ident.UserID, number int64, room, session string, all allKeys) error {
	return tx.Query(`SELECT room, session, first, forwarded, verified, data FROM hs_backup_keys
		WHERE user = ? AND version = ? AND (? = '' OR room = ?) AND (? = '' OR session = ?)`,
		[]any{string(user), number, room, room, session, session}, func(r persistence.Row) error {
			var room, session string
			var k key
			if err := r.Scan(&room, &session, &k.First, &k.Forwarded, &k.Verified, &k.Data); err != nil {
				return err
			}
			if all.Rooms[room].Sessions == nil {
				all.Rooms[room] = roomKeys{map[string]key{}}
			}
			all.Rooms[room].Sessions[session] = k
			return nil
		})
}
