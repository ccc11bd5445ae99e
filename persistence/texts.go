// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// textsAtOnce is how many texts one statement reads: with more, a statement's own cost no longer matters.
const textsAtOnce = 32

var textsQuery = `SELECT e.id, r.version, e.json FROM events e JOIN rooms r ON r.nid = e.room WHERE e.id IN (?` +
	strings.Repeat(`, ?`, textsAtOnce-1) + `)`

// EventTexts gives the events of a list that are stored, in no order, each with its ID, RoomVersion and JSON alone: for a state or an
// auth chain, where reading all of each event would be most of the work.
func (tx *Tx) EventTexts(ids []ident.EventID) (list []Event, err error) {
	for len(ids) > 0 {
		n := min(len(ids), textsAtOnce)
		args := make([]any, textsAtOnce)
		for i := range args {
			args[i] = eventKey(ids[min(i, n-1)]) // repeated at the end: the statement stays the same
		}
		ids = ids[n:]
		err := tx.query(textsQuery, args, func(r rowScanner) error {
			var e Event
			var key any
			if err := r.Scan(&key, &e.RoomVersion, &e.JSON); err != nil {
				return err
			}
			e.ID, err = eventID(key)
			list = append(list, e)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
