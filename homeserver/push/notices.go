// SPDX-License-Identifier: Apache-2.0

package push

import (
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Notice is an event that notified a user.
type Notice struct {
	Position persistence.Position // of the event
	TS       int64                // ms, when it did
	Actions  json.RawMessage      // of the rule that matched, a list
	Read     bool
}

func putNotice(tx *persistence.Tx, user ident.UserID, h Heard, verdict Verdict, now int64) error {
	actions, err := json.Marshal(verdict.Actions)
	if err != nil {
		return fmt.Errorf("encode actions: %w", err)
	}
	_, err = tx.Exec(`INSERT OR IGNORE INTO hs_notices (user, position, room, ts, highlight, actions) VALUES (?, ?, ?, ?, ?, ?)`,
		string(user), h.Position, string(h.Subject.Room), now, verdict.Highlight, string(actions))
	return err
}

// trimNotices forgets all but the newest.
func trimNotices(tx *persistence.Tx, user ident.UserID, keep int) error {
	_, err := tx.Exec(`DELETE FROM hs_notices WHERE user = ?1 AND position <=
		(SELECT position FROM hs_notices WHERE user = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)`, string(user), keep)
	return err
}

// Notices gives what notified a user before a position, the newest first: all, or what was highlighted.
func Notices(tx *persistence.Tx, user ident.UserID, before persistence.Position, highlights bool, limit int) (list []Notice, err error) {
	err = tx.Query(`SELECT position, ts, actions, NOT EXISTS (
			SELECT 1 FROM hs_unread u WHERE u.user = n.user AND u.room = n.room AND u.position = n.position)
		FROM hs_notices n WHERE user = ? AND position < ? AND highlight >= ? ORDER BY position DESC LIMIT ?`,
		[]any{string(user), before, highlights, limit}, func(r persistence.Row) error {
			var n Notice
			var actions []byte
			err := r.Scan(&n.Position, &n.TS, &actions, &n.Read)
			n.Actions = actions
			list = append(list, n)
			return err
		})
	return list, err
}
