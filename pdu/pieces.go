// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// A state with its auth chain can have a hundred thousand events. An answer with them is written piece by piece, so that what it holds
// is the ids, and the texts of one piece.

// part is a list of events in an answer, by its name.
type part struct {
	name string
	ids  []ident.EventID
}

// eventLists is an answer of lists of stored events.
func (e *Engine) eventLists(ctx context.Context, parts ...part) transport.Reply {
	return transport.Reply{Stream: func(w io.Writer) error {
		before := "{"
		for _, p := range parts {
			if _, err := fmt.Fprintf(w, "%s%q:", before, p.name); err != nil {
				return err
			}
			if err := e.WriteEvents(ctx, w, p.ids); err != nil {
				return err
			}
			before = ","
		}
		_, err := io.WriteString(w, "}")
		return err
	}}
}

// WriteEvents writes a JSON list of stored events, piece by piece. When it fails the list has no end.
func (e *Engine) WriteEvents(ctx context.Context, w io.Writer, ids []ident.EventID) error {
	piece := []byte{'['}
	for chunk := range slices.Chunk(ids, loadChunk) {
		var missing []ident.EventID // what is not in the memory is not parsed for it
		for _, id := range chunk {
			if r, ok := e.cache.record(id); ok {
				piece = append(append(piece, r.event.JSON()...), ',')
			} else {
				missing = append(missing, id)
			}
		}
		rows, err := e.readRows(ctx, missing)
		if err != nil {
			return err
		}
		if len(rows) < len(missing) {
			return fmt.Errorf("%w: %d events of a state or auth chain are not stored", persistence.ErrCorrupt, len(missing)-len(rows))
		}
		for _, row := range rows {
			piece = append(append(piece, row.JSON...), ',')
		}
		if _, err := w.Write(piece[:len(piece)-1]); err != nil {
			return err
		}
		piece = append(piece[:0], ',')
	}
	if len(ids) > 0 {
		piece = piece[:0]
	}
	_, err := w.Write(append(piece, ']'))
	return err
}
