// SPDX-License-Identifier: Apache-2.0

package persistence

// A subscription is a name and how far its owner has got in the one sequence.
const subscriptionsSchema = `
CREATE TABLE subscriptions (
	name     TEXT    PRIMARY KEY,
	position INTEGER NOT NULL -- everything up to it is done with
) STRICT, WITHOUT ROWID;`

// Subscription is a durable named cursor over the sequence.
type Subscription struct {
	Name     string
	Position Position
}

// Cursor is how far the subscription of that name has got, 0 for a new one.
func (tx *Tx) Cursor(name string) (position Position, err error) {
	_, err = tx.queryRow(`SELECT position FROM subscriptions WHERE name = ?`, []any{name}, &position)
	return position, err
}

// MoveCursor stores that everything up to position is done with. A cursor does not move back.
func (tx *Tx) MoveCursor(name string, position Position) error {
	return tx.exec(`INSERT INTO subscriptions (name, position) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET position = max(position, excluded.position)`, name, int64(position))
}

// Subscriptions lists every cursor by name.
func (tx *Tx) Subscriptions() (list []Subscription, err error) {
	err = tx.query(`SELECT name, position FROM subscriptions ORDER BY name`, nil, func(r rowScanner) error {
		var s Subscription
		err := r.Scan(&s.Name, &s.Position)
		list = append(list, s)
		return err
	})
	return list, err
}

// DropSubscription forgets a cursor.
func (tx *Tx) DropSubscription(name string) error {
	return tx.exec(`DELETE FROM subscriptions WHERE name = ?`, name)
}
