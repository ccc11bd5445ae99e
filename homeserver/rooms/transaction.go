// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"sync"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const transactionsSchema = `
CREATE TABLE hs_transactions (
	user     TEXT    NOT NULL,
	device   TEXT    NOT NULL,
	endpoint TEXT    NOT NULL, -- with everything that its path names but the transaction
	txn      TEXT    NOT NULL,
	event    TEXT    NOT NULL,
	at       INTEGER NOT NULL, -- ms
	PRIMARY KEY (user, device, endpoint, txn)
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_transactions_at ON hs_transactions (at);
CREATE INDEX hs_transactions_event ON hs_transactions (event);`

// transaction is a client's own name for a request, by which it is known again (CS "Transaction identifiers"): of one device, and of
// one endpoint.
type transaction struct {
	user     ident.UserID
	device   string
	endpoint string
	id       string
}

func transactionOf(q *api.Request, endpoint string) (transaction, error) {
	id := q.Param("txnID")
	if len(id) > maxTransactionID {
		return transaction{}, api.InvalidParam("the transaction id has %d bytes, at most %d are taken", len(id), maxTransactionID)
	}
	return transaction{user: q.User, device: q.Device, endpoint: endpoint, id: id}, nil
}

// running is the transactions under way. mu guards ids.
type running struct {
	mu  sync.Mutex
	ids map[transaction]chan struct{} // closed when it has ended
}

// take waits for an earlier request of the same transaction to end, and is ended itself by release.
func (n *running) take(ctx context.Context, t transaction) (release func(), err error) {
	for {
		n.mu.Lock()
		over, busy := n.ids[t]
		if !busy {
			mine := make(chan struct{})
			n.ids[t] = mine
			n.mu.Unlock()
			return func() {
				n.mu.Lock()
				delete(n.ids, t)
				n.mu.Unlock()
				close(mine)
			}, nil
		}
		n.mu.Unlock()
		select {
		case <-over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// once has send make an event, unless the transaction has made one before: then that is the answer. send hands kept on to the job that
// stores the event. It runs to its end even when the client does not wait for it, so that a repetition finds what it has made.
func (r *Rooms) once(ctx context.Context, t transaction, send func(context.Context, keeper) (ident.EventID, error)) (ident.EventID, error) {
	release, err := r.running.take(ctx, t)
	if err != nil {
		return "", err
	}
	defer release()
	var id ident.EventID
	var made bool
	err = r.store.View(ctx, func(tx *persistence.Tx) (err error) {
		made, err = tx.QueryRow(`SELECT event FROM hs_transactions WHERE user = ? AND device = ? AND endpoint = ? AND txn = ?`,
			[]any{string(t.user), t.device, t.endpoint, t.id}, &id)
		return err
	})
	if err != nil || made {
		return id, err
	}
	return send(context.WithoutCancel(ctx), t.keep)
}

// keeper stores what belongs to an event, in the job that stores the event.
type keeper = func(*persistence.Tx, *event.Event) error

func (t transaction) keep(tx *persistence.Tx, made *event.Event) error {
	now := time.Now()
	_, err := tx.Exec(`INSERT INTO hs_transactions (user, device, endpoint, txn, event, at) VALUES (?, ?, ?, ?, ?, ?)`,
		string(t.user), t.device, t.endpoint, t.id, string(made.ID()), now.UnixMilli())
	if err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM hs_transactions WHERE (user, device, endpoint, txn) IN
		(SELECT user, device, endpoint, txn FROM hs_transactions WHERE at < ? ORDER BY at LIMIT ?)`,
		now.Add(-transactionsKept).UnixMilli(), forgetTransactions)
	return err
}

// TransactionOf is the id under which a device has sent an event, for unsigned.transaction_id, which nobody else is told (K19); "" when
// it has not, or so long ago that it is forgotten.
func TransactionOf(tx *persistence.Tx, user ident.UserID, device string, id ident.EventID) (txn string, err error) {
	_, err = tx.QueryRow(`SELECT txn FROM hs_transactions WHERE event = ? AND user = ? AND device = ?`,
		[]any{string(id), string(user), device}, &txn)
	return txn, err
}
