// SPDX-License-Identifier: Apache-2.0

package persistence

import "bytes"

// The bodies of outbound transactions. One that goes to many servers names none of them: it is stored once for those who are sent it
// at the same moment, which is most when an event goes to thousands.
const bodiesSchema = `
CREATE TABLE sent_bodies (
	nid     INTEGER PRIMARY KEY,
	content BLOB NOT NULL -- the bytes of every attempt
) STRICT;
CREATE INDEX sent_transactions_body ON sent_transactions (body);`

// knownBody is the last body that was stored, if no later rollback or trim may have taken it away.
type knownBody struct {
	nid     int64
	content []byte
}

// internBody gives the number of a body, which it stores unless it is the last one again.
func (tx *Tx) internBody(content []byte) (nid int64, err error) {
	if last := tx.conn.body; last.nid != 0 && bytes.Equal(last.content, content) {
		return last.nid, nil
	}
	nid, _, err = tx.insert(`INSERT INTO sent_bodies (content) VALUES (?)`, orEmpty(content))
	if err == nil {
		tx.conn.body = knownBody{nid, content}
	}
	return nid, err
}

// forgetBodies forgets those of the given bodies that no transaction has any more.
func (tx *Tx) forgetBodies(nids map[int64]bool) error {
	tx.conn.body = knownBody{}
	for nid := range nids {
		err := tx.exec(`DELETE FROM sent_bodies WHERE nid = ?1 AND NOT EXISTS (SELECT 1 FROM sent_transactions WHERE body = ?1)`, nid)
		if err != nil {
			return err
		}
	}
	return nil
}
