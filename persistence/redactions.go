// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// Accepted redactions by the event that they name. While a row is held, the redaction has no position: its target has not come,
// or is not valid, or may not be redacted by it. The row outlives the redaction's own content, which a further redaction may take.
const redactionsSchema = `
CREATE TABLE redactions (
	target    ANY     NOT NULL, -- key of the event that is to be redacted, which may not be stored
	redaction INTEGER NOT NULL, -- events.nid
	room      INTEGER NOT NULL, -- rooms.nid, of the redaction
	held      INTEGER NOT NULL, -- 0 once it has taken effect
	PRIMARY KEY (target, redaction)
) STRICT, WITHOUT ROWID;
CREATE INDEX redactions_held ON redactions (room, target) WHERE held = 1;`

// Redaction is an accepted redaction with the event that it names.
type Redaction struct {
	Target    ident.EventID
	Redaction ident.EventID
}

// PutRedaction stores a redaction, by its number, or whether it is still held. What has taken effect is not held again.
func (tx *Tx) PutRedaction(room int64, target ident.EventID, redaction int64, held bool) error {
	return tx.exec(`INSERT INTO redactions (target, redaction, room, held) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET held = min(held, excluded.held)`, eventKey(target), redaction, room, held)
}

// HoldsRedactions says whether redactions of a room are held.
func (tx *Tx) HoldsRedactions(room int64) (bool, error) {
	var one int
	return tx.queryRow(`SELECT 1 FROM redactions WHERE room = ? AND held = 1 LIMIT 1`, []any{room}, &one)
}

// HeldRedactions lists the redactions of a room that are held for one of the given events.
func (tx *Tx) HeldRedactions(room int64, targets []ident.EventID) (list []Redaction, err error) {
	for _, target := range targets {
		found, err := tx.heldRedactions(room, target)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

func (tx *Tx) heldRedactions(room int64, target ident.EventID) (list []Redaction, err error) {
	err = tx.query(`SELECT e.id FROM redactions r JOIN events e ON e.nid = r.redaction WHERE r.target = ? AND r.room = ? AND r.held = 1
		ORDER BY r.redaction`, []any{eventKey(target), room}, func(r rowScanner) error {
		var key any
		if err := r.Scan(&key); err != nil {
			return err
		}
		id, err := eventID(key)
		list = append(list, Redaction{Target: target, Redaction: id})
		return err
	})
	return list, err
}

// RedactEvent replaces the text of an event by what is left of it. An event that was redacted before stays as it is.
func (tx *Tx) RedactEvent(nid, by int64, json []byte) error {
	return tx.exec(`UPDATE events SET json = ?, reduced = ? WHERE nid = ? AND reduced IS NULL`, json, by, nid)
}
