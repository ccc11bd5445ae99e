// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

// The memory knows the last positions, whatever was forgotten, and says so when it does not know.
func TestRecentForgets(t *testing.T) {
	var r recent
	if _, ok := r.since(0, 1); ok {
		t.Error("an empty memory has an answer")
	}
	const step, first, count = 3, 10, 3 * maxRecent // other things take positions too
	for i := range count {
		r.add([]told{{at: persistence.Position(first + i*step)}})
	}
	if len(r.list) > maxRecent {
		t.Errorf("%d positions in memory, want %d at most", len(r.list), maxRecent)
	}
	last := persistence.Position(first + (count-1)*step)
	for behind := range persistence.Position(2 * maxRecent) {
		after := last - behind*step
		list, ok := r.since(after, 1)
		switch {
		case !ok && behind < maxRecent/2:
			t.Fatalf("%d behind is not known", behind)
		case ok && behind == 0 && len(list) != 0:
			t.Errorf("after the last there is %v", list)
		case ok && behind > 0 && (len(list) != 1 || list[0].at != after+step):
			t.Fatalf("%d behind: %v, want %d", behind, list, after+step)
		}
	}
	if _, ok := r.since(0, 1); ok {
		t.Error("what was forgotten is known")
	}
}
