// SPDX-License-Identifier: Apache-2.0

package persistence

// Pending is how much waits, in both directions, and since when. Times are ms, 0 when nothing waits.
type Pending struct {
	PDUs, EDUs   int   // items of the outbound log, whatever the number of servers that they are for
	OldestQueued int64 // when the first of them was queued

	Ready       int   // events that are to be judged
	OldestReady int64 // when the first of them came
	Quarantined int   // events whose references are missing
}

// Pending counts what waits, each kind up to a limit. It reads indexes only, of which the limit bounds the cost.
func (tx *Tx) Pending(limit int) (p Pending, err error) {
	var all int
	counts := []struct {
		to    *int
		query string
	}{
		{&all, `SELECT COUNT(*) FROM (SELECT 1 FROM outbound INDEXED BY outbound_servers LIMIT ?)`},
		{&p.EDUs, `SELECT COUNT(*) FROM (SELECT 1 FROM outbound INDEXED BY outbound_edus WHERE kind = 2 LIMIT ?)`},
		{&p.Ready, `SELECT COUNT(*) FROM (SELECT 1 FROM staging INDEXED BY staging_ready WHERE waits = 0 LIMIT ?)`},
		{&p.Quarantined, `SELECT COUNT(*) FROM (SELECT 1 FROM staging INDEXED BY staging_waiting WHERE waits > 0 LIMIT ?)`},
	}
	for _, count := range counts {
		if _, err := tx.queryRow(count.query, []any{limit}, count.to); err != nil {
			return Pending{}, err
		}
	}
	p.PDUs = max(0, all-p.EDUs)
	if _, err := tx.queryRow(`SELECT queued_at FROM outbound ORDER BY position LIMIT 1`, nil, &p.OldestQueued); err != nil {
		return Pending{}, err
	}
	// Events are numbered in the order of coming.
	_, err = tx.queryRow(`SELECT received_at FROM staging WHERE event =
		(SELECT MIN(event) FROM (SELECT event FROM staging INDEXED BY staging_ready WHERE waits = 0 LIMIT ?))`, []any{limit}, &p.OldestReady)
	return p, err
}
