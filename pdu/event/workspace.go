// SPDX-License-Identifier: Apache-2.0

package event

import (
	"sync"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// workspace is what taking one event apart needs and the event does not keep: its tree, and the bytes that are hashed. It belongs
// to one call at a time. Values from it are gone with it; their strings and bytes stay.
type workspace struct {
	outline canonicaljson.Outline
	buffer  []byte
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

func borrow() *workspace { return workspaces.Get().(*workspace) }

func (w *workspace) giveBack() {
	w.outline.Release()
	workspaces.Put(w)
}

// over takes a part of an event apart, which was read before: the text is canonical, or there is none.
func (w *workspace) over(text []byte, v *Version) canonicaljson.Value {
	root, _ := w.outline.Over(text, v.Rules)
	return root
}

// redacted is the redacted form of an event, in memory of its own, and the whole event.
func (w *workspace) redacted(e *Event, withSignatures bool) (form []byte, root canonicaljson.Value) {
	root = w.over(e.text, e.version)
	var f fields
	f.read(root)
	return e.version.redaction.appendRedacted(make([]byte, 0, len(e.text)), root, &f, withSignatures), root
}
