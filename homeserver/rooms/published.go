// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"fmt"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// What is in the directory is found in the order in which it came there, which stays: paging through it neither skips nor repeats (M-71).
const publishedSchema = `
CREATE TABLE hs_published (
	place INTEGER PRIMARY KEY,
	room  TEXT    NOT NULL UNIQUE
) STRICT;`

// publish puts a room into the directory.
func publish(tx *persistence.Tx, room ident.RoomID) error {
	if _, err := tx.Exec(`INSERT OR IGNORE INTO hs_published (room) VALUES (?)`, string(room)); err != nil {
		return fmt.Errorf("publish %s: %w", room, err)
	}
	return nil
}
