// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// ThreadRelation is the kind of relation that makes a thread of the event that is related to.
const ThreadRelation = "m.thread"

// maxRelation is the longest kind of a relation that is taken for one, as of an event type (P-02).
const maxRelation = 255

// relates is the member of content that names the event that is related to.
const relates = "m.relates_to"

// Relation is which event this one says it relates to, and how (CS "Forming relationships between events"). ok is false for one that
// says nothing of the kind, as a reply does that is no more than that.
func (e *Event) Relation() (parent ident.EventID, kind string, ok bool) {
	if !bytes.Contains(e.content, []byte(relates)) { // canonical, in which a name is written in one way
		return "", "", false
	}
	w := borrow()
	defer w.giveBack()
	to := w.over(e.content, e.version).Get(relates)
	kind, _ = to.Get("rel_type").Text()
	text, _ := to.Get("event_id").Text()
	parent, err := ident.ParseEventID(strings.Clone(text))
	return parent, strings.Clone(kind), err == nil && kind != "" && len(kind) <= maxRelation
}
