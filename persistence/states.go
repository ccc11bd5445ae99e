// SPDX-License-Identifier: Apache-2.0

package persistence

// The nodes of all state trees, each stored once under the hash of its content. Nothing here is ever changed.
const statesSchema = `
CREATE TABLE state_nodes (
	hash BLOB NOT NULL PRIMARY KEY,
	data BLOB NOT NULL
) STRICT;`

// StateNode gives the data of a node.
func (tx *Tx) StateNode(hash []byte) (data []byte, found bool, err error) {
	found, err = tx.queryRow(`SELECT data FROM state_nodes WHERE hash = ?`, []any{hash}, &data)
	return data, found, err
}

// AddStateNode stores a node, if it is not stored yet.
func (tx *Tx) AddStateNode(hash, data []byte) error {
	return tx.exec(`INSERT OR IGNORE INTO state_nodes (hash, data) VALUES (?, ?)`, hash, orEmpty(data))
}
