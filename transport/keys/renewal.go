// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// maxRenewals are under way at a time; what finds no place is renewed by a later call.
const maxRenewals = 16

// renew asks servers that talk to us for a newer document when the one at hand is past half its life, while it still
// serves: nobody waits for it.
func (r *Ring) renew(queries []Query, records map[ident.ServerName]*record) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for _, q := range queries {
		rec := records[q.Server]
		if q.Use != ForRequest || len(rec.history) == 0 || rec.flight != nil || now.Before(rec.nextAsk) || !rec.history.halfGone(now.UnixMilli()) {
			continue
		}
		select {
		case r.renewals.places <- struct{}{}:
			r.work.Go(func() {
				defer r.renewals.give()
				r.fetchOne(r.alive, rec)
				ctx, cancel := context.WithTimeout(context.WithoutCancel(r.alive), saveTimeout)
				defer cancel()
				r.save(ctx)
			})
		default:
			return
		}
	}
}

// saveTimeout is for writing what a renewal found; Close waits for it.
const saveTimeout = 5 * time.Second
