// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

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
	nid, found, err := tx.serverNID(name)
	if err != nil || found {
		return nid, err
	}
	nid, _, err = tx.insert(`INSERT INTO servers (name) VALUES (?)`, string(name))
	if err == nil {
		tx.conn.servers.put(name, nid)
	}
	return nid, err
}

// serverNID gives the number of a server, 0 if it has none.
func (tx *Tx) serverNID(name ident.ServerName) (nid int64, found bool, err error) {
	if err := tx.check(); err != nil {
		return 0, false, err
	}
	if nid, found = tx.conn.servers[name]; found {
		return nid, true, nil
	}
	found, err = tx.queryRow(`SELECT nid FROM servers WHERE name = ?`, []any{string(name)}, &nid)
	if found {
		tx.conn.servers.put(name, nid)
	}
	return nid, found, err
}

// maxKnownServers bounds the names that are kept with their numbers, of about a hundred bytes each with their places in the map.
const maxKnownServers = 1 << 16

// knownServers is the numbers of servers that were met. What is rolled back gives its number to another, so that it forgets all.
type knownServers map[ident.ServerName]int64

func (k *knownServers) put(name ident.ServerName, nid int64) {
	if *k == nil || len(*k) == maxKnownServers {
		*k = knownServers{}
	}
	(*k)[ident.ServerName(strings.Clone(string(name)))] = nid // it may be a part of a long text
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

// maxKnownMembers bounds the sets that are kept taken apart, by their members of 8 bytes each.
const maxKnownMembers = 1 << 20

// knownSets is the members of recent sets: each of the ten thousand servers of a set asks whether it is in there. What is rolled
// back or deleted gives its number to another, so that either forgets all.
type knownSets struct {
	members map[int64][]int64
	weight  int
}

func (k *knownSets) put(set int64, members []int64) {
	if k.weight += len(members); k.members == nil || k.weight > maxKnownMembers {
		k.members, k.weight = map[int64][]int64{}, len(members)
	}
	k.members[set] = members
}

func (k *knownSets) forget() { *k = knownSets{} }

// serverSet gives the members of a set, ascending. They must not be modified.
func (tx *Tx) serverSet(set int64) ([]int64, error) {
	if members, ok := tx.conn.sets.members[set]; ok {
		return members, nil
	}
	var packed []byte
	found, err := tx.queryRow(`SELECT members FROM server_sets WHERE nid = ?`, []any{set}, &packed)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("server set %d is missing", set)
	}
	members, err := unpackAscending(packed)
	if err != nil {
		return nil, err
	}
	tx.conn.sets.put(set, members)
	return members, nil
}

// inServerSet says whether a server is in a set.
func (tx *Tx) inServerSet(server, set int64) (bool, error) {
	members, err := tx.serverSet(set)
	if err != nil {
		return false, err
	}
	_, in := slices.BinarySearch(members, server)
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
