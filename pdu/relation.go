// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
)

// writeRelation notes to which event one relates that has its place in the graph, however it came: clients ask from the other end.
func (b *batch) writeRelation(tx *persistence.Tx, r *record) error {
	if r.outcome != Accepted || !r.inGraph {
		return nil
	}
	parent, kind, ok := r.event.Relation()
	if !ok {
		return nil
	}
	return tx.Relate(persistence.Relation{
		Room: b.head.nid, Parent: parent, Kind: kind, Thread: kind == event.ThreadRelation,
		Event: persistence.HistoryPlace{Depth: r.event.Depth(), NID: r.nid}, Sender: r.event.Sender(),
	})
}
