// SPDX-License-Identifier: Apache-2.0

package persistence

// What is over is found by when it ended: narrow indexes that grow at their ends.
const retentionSchema = `
CREATE INDEX sent_transactions_ended ON sent_transactions (ended_at) WHERE ended_at > 0;
CREATE INDEX received_transactions_time ON received_transactions (received_at);`

// AnsweredBefore gives the time in ms before which only transactions were answered that are not among the newest keep; 0 when there
// are no more than that.
func (tx *Tx) AnsweredBefore(keep int) (ms int64, err error) {
	_, err = tx.queryRow(`SELECT ended_at FROM sent_transactions WHERE ended_at > 0 ORDER BY ended_at DESC LIMIT 1 OFFSET ?`, []any{keep - 1}, &ms)
	return ms, err
}

// ReceivedBefore is the like for inbound transactions.
func (tx *Tx) ReceivedBefore(keep int) (ms int64, err error) {
	_, err = tx.queryRow(`SELECT received_at FROM received_transactions ORDER BY received_at DESC LIMIT 1 OFFSET ?`, []any{keep - 1}, &ms)
	return ms, err
}

// TrimSent forgets up to limit outbound transactions that were answered before a time in ms, the oldest first, and tells how many.
// What is kept of failed attempts is bounded by itself (attempts.go).
func (tx *Tx) TrimSent(before int64, limit int) (forgotten int64, err error) {
	bodies := map[int64]bool{}
	err = tx.query(`DELETE FROM sent_transactions WHERE position IN
		(SELECT position FROM sent_transactions WHERE ended_at > 0 AND ended_at < ? ORDER BY ended_at LIMIT ?) RETURNING body`,
		[]any{before, limit}, func(r rowScanner) error {
			var body int64
			err := r.Scan(&body)
			bodies[body] = true
			forgotten++
			return err
		})
	if err != nil {
		return forgotten, err
	}
	return forgotten, tx.forgetBodies(bodies)
}

// TrimReceived forgets up to limit inbound transactions that came before a time in ms, the oldest first, with their replies, and
// tells how many. One of them that comes again is worked on again.
func (tx *Tx) TrimReceived(before int64, limit int) (forgotten int64, err error) {
	return tx.execRows(`DELETE FROM received_transactions WHERE position IN
		(SELECT position FROM received_transactions WHERE received_at < ? ORDER BY received_at LIMIT ?)`, before, limit)
}

// TrimServerSets forgets those of up to limit sets of servers from a number on that the outbound log does not name, but for the
// newest keep: those are in use, or may soon be. next is where the next call goes on, 0 at the end.
func (tx *Tx) TrimServerSets(from int64, keep, limit int) (forgotten int64, next int64, err error) {
	var last int64
	_, err = tx.queryRow(`SELECT MAX(nid) FROM (SELECT nid FROM server_sets WHERE nid >= ? AND nid <= (SELECT MAX(nid) FROM server_sets) - ?
		ORDER BY nid LIMIT ?) HAVING COUNT(*) > 0`, []any{from, keep, limit}, &last)
	if err != nil || last == 0 {
		return 0, 0, err
	}
	tx.conn.sets.forget()
	forgotten, err = tx.execRows(`DELETE FROM server_sets WHERE nid BETWEEN ? AND ?
		AND NOT EXISTS (SELECT 1 FROM outbound WHERE servers = server_sets.nid)`, from, last)
	return forgotten, last + 1, err
}
