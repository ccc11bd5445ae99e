// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/transport/ident"
)

// Server names and sets of them are interned: an event for ten thousand servers names one set.
const serversSchema = `
CREATE TABLE servers (
	nid  INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
);
CREATE TABLE server_sets (
	nid     INTEGER PRIMARY KEY,
	digest  BLOB NOT NULL UNIQUE, -- SHA-256 of the sorted names, a NUL after each
	members BLOB NOT NULL         -- ascending server nids, each the uvarint difference to the one before
);`

// ServerNID gives the number under which a server is stored, a new one if it has none yet.
func (tx *Tx) ServerNID(name ident.ServerName) (int64, error) { return tx.internServer(name) }

// internServer gives the number of a server, a new one if it has none yet.
func (tx *Tx) internServer(name ident.ServerName) (int64, error) {
	if name == tx.server.name && tx.server.nid != 0 {
		return tx.server.nid, nil
	}
	nid, found, err := tx.serverNID(name)
	if err == nil && !found {
		nid, _, err = tx.insert(`INSERT INTO servers (name) VALUES (?)`, string(name))
	}
	if err != nil {
		return 0, err
	}
	tx.server.name, tx.server.nid = name, nid
	return nid, nil
}

func (tx *Tx) serverNID(name ident.ServerName) (nid int64, found bool, err error) {
	found, err = tx.queryRow(`SELECT nid FROM servers WHERE name = ?`, []any{string(name)}, &nid)
	return nid, found, err
}

// internServerSet gives the number of a set of servers. A set that had none before comes with its members, ascending; for
// others members is nil. A known set costs one look-up, whatever its size: hence a digest of the names.
func (tx *Tx) internServerSet(names []ident.ServerName) (set int64, members []int64, err error) {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	digest := digestOf(names)
	const find = `SELECT nid FROM server_sets WHERE digest = ?`
	found, err := tx.queryRow(find, []any{digest}, &set)
	if err != nil || found {
		return set, nil, err
	}
	members = make([]int64, len(names))
	for i, name := range names {
		if members[i], err = tx.internServer(name); err != nil {
			return 0, nil, err
		}
	}
	slices.Sort(members)
	if err := tx.exec(`INSERT INTO server_sets (digest, members) VALUES (?, ?)`, digest, packAscending(members)); err != nil {
		return 0, nil, err
	}
	_, err = tx.queryRow(find, []any{digest}, &set)
	return set, members, err
}

func digestOf(names []ident.ServerName) []byte {
	h := sha256.New()
	for _, name := range names {
		h.Write([]byte(name))
		h.Write([]byte{0}) // no name holds a NUL
	}
	return h.Sum(nil)
}

// serverSet gives the members of a set, ascending.
func (tx *Tx) serverSet(set int64) ([]int64, error) {
	var packed []byte
	found, err := tx.queryRow(`SELECT members FROM server_sets WHERE nid = ?`, []any{set}, &packed)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("server set %d is missing", set)
	}
	return unpackAscending(packed)
}

// setMembership answers "is this server in that set" within one job, reading each set once.
type setMembership struct {
	tx     *Tx
	server int64
	known  map[int64]bool
}

func (m *setMembership) contains(set int64) (bool, error) {
	if in, known := m.known[set]; known {
		return in, nil
	}
	members, err := m.tx.serverSet(set)
	if err != nil {
		return false, err
	}
	_, in := slices.BinarySearch(members, m.server)
	m.known[set] = in
	return in, nil
}

func packAscending(values []int64) []byte {
	packed := make([]byte, 0, 2*len(values))
	last := int64(0)
	for _, v := range values {
		packed = binary.AppendUvarint(packed, uint64(v-last))
		last = v
	}
	return packed
}

func unpackAscending(packed []byte) ([]int64, error) {
	var values []int64
	last := int64(0)
	for len(packed) > 0 {
		difference, n := binary.Uvarint(packed)
		if n <= 0 {
			return nil, fmt.Errorf("bad varint after %d values", len(values))
		}
		last += int64(difference)
		values = append(values, last)
		packed = packed[n:]
	}
	return values, nil
}
