// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxSince is how many items one page of Since has at most.
const maxSince = 1000

// Since is a page of what a destination was to get.
type Since struct {
	Items []persistence.Outbound // in order; one that is Compacted stands for its room, of which others were forgotten
	Next  persistence.Position   // the cursor for what comes after
	More  bool                   // there is some already
}

// Since gives what a destination was to get after a cursor, a position of the store, in order: at most limit items. What all
// destinations have is forgotten soon, and not given. The cursor is that of persistence.Destination, or Next of the page before.
func (o *Outbox) Since(ctx context.Context, destination ident.ServerName, cursor persistence.Position, limit int) (page Since, err error) {
	limit = max(1, min(limit, maxSince))
	page.Next = cursor
	err = o.store.View(ctx, func(tx *persistence.Tx) error {
		through, atEnd, err := tx.NextOutbound(destination, cursor, maxScan, func(item persistence.Outbound) bool {
			if len(page.Items) == limit {
				return false
			}
			page.Items = append(page.Items, item)
			return true
		})
		page.Next, page.More = through, !atEnd
		return err
	})
	if err != nil {
		return Since{}, fmt.Errorf("queue of %s since %d: %w", destination, cursor, err)
	}
	return page, nil
}
