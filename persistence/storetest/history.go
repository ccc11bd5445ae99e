// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"reflect"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Gaps is a job's access to the gaps of rooms 1 and 2.
type Gaps interface {
	AddGap(room int64, g persistence.Gap) error
	CloseGap(room int64, id ident.EventID) error
	GapAsked(room int64, id ident.EventID, at int64) error
	Gaps(room int64, limit int) ([]persistence.Gap, error)
}

// Copies is a job's access to further copies of the events of rooms 1 and 2.
type Copies interface {
	KeepCopy(room int64, id ident.EventID, text []byte, limit int) error
	Copies(room int64, limit int) ([]persistence.Copy, error)
	DropCopies(nids []int64) error
}

// Backfills is a job's access to how far the history of rooms has been fetched.
type Backfills interface {
	AddBackfill(room int64, b persistence.Backfill) error
	Backfill(room int64) (b persistence.Backfill, found bool, err error)
}

// RunGaps holds gaps to their contract: those that were never asked for in vain first, of them the newest; then those asked for the
// longest ago; each once, and each room for itself.
func RunGaps(t *testing.T, do func(job func(Gaps) error)) {
	t.Helper()
	gap := func(id ident.EventID, depth int64) persistence.Gap {
		return persistence.Gap{Event: id, Depth: depth, Server: "b.example"}
	}
	do(func(tx Gaps) error {
		for _, g := range []persistence.Gap{gap("$old", 1), gap("$new", 9), gap("$asked", 20), gap("$longago", 5), gap("$closed", 30), gap("$new", 2)} {
			if err := tx.AddGap(1, g); err != nil {
				return err
			}
		}
		if err := tx.AddGap(2, gap("$other", 1)); err != nil {
			return err
		}
		if err := tx.GapAsked(1, "$asked", 200); err != nil {
			return err
		}
		if err := tx.GapAsked(1, "$longago", 100); err != nil {
			return err
		}
		return tx.CloseGap(1, "$closed")
	})
	asked, longAgo := gap("$asked", 20), gap("$longago", 5)
	asked.AskedAt, longAgo.AskedAt = 200, 100
	want := []persistence.Gap{gap("$new", 9), gap("$old", 1), longAgo, asked}
	for _, limit := range []int{4, 2, 100} {
		do(func(tx Gaps) error {
			got, err := tx.Gaps(1, limit)
			if first := want[:min(limit, len(want))]; !reflect.DeepEqual(got, first) {
				t.Errorf("first %d gaps: %+v, want %+v", limit, got, first)
			}
			return err
		})
	}
}

// RunCopies holds copies to their contract: in the order in which they came, as many of a room as the limit says, until they are dropped.
func RunCopies(t *testing.T, do func(job func(Copies) error)) {
	t.Helper()
	do(func(tx Copies) error {
		for _, text := range []string{"1", "2", "3"} {
			if err := tx.KeepCopy(1, "$x", []byte(text), 2); err != nil {
				return err
			}
		}
		return tx.KeepCopy(2, "$x", []byte("4"), 2)
	})
	read := func(room int64) (texts []string, nids []int64) {
		do(func(tx Copies) error {
			list, err := tx.Copies(room, 10)
			for _, c := range list {
				texts, nids = append(texts, string(c.Event)+" "+string(c.JSON)), append(nids, c.NID)
			}
			return err
		})
		return texts, nids
	}
	texts, nids := read(1)
	if want := []string{"$x 1", "$x 2"}; !reflect.DeepEqual(texts, want) {
		t.Errorf("copies %q, want %q", texts, want)
	}
	do(func(tx Copies) error { return tx.DropCopies(nids) })
	if texts, _ := read(1); len(texts) != 0 {
		t.Errorf("copies %q, want none", texts)
	}
	if texts, _ := read(2); len(texts) != 1 {
		t.Errorf("copies of the other room %q, want one", texts)
	}
}

// RunBackfills holds the progress of a backfill to its contract: requests and events add up, the smallest depth stays, the rest is the
// last.
func RunBackfills(t *testing.T, do func(job func(Backfills) error)) {
	t.Helper()
	for _, step := range []struct{ add, want persistence.Backfill }{
		{persistence.Backfill{Server: "a", AskedAt: 1, Requests: 1, Note: "x"}, persistence.Backfill{Server: "a", AskedAt: 1, Requests: 1, Note: "x"}},
		{persistence.Backfill{Server: "b", AskedAt: 2, Requests: 2, Events: 5, Depth: 7}, persistence.Backfill{Server: "b", AskedAt: 2, Requests: 3, Events: 5, Depth: 7}},
		{persistence.Backfill{Server: "a", AskedAt: 3, Events: 1, Depth: 9}, persistence.Backfill{Server: "a", AskedAt: 3, Requests: 3, Events: 6, Depth: 7}},
		{persistence.Backfill{Server: "a", AskedAt: 4}, persistence.Backfill{Server: "a", AskedAt: 4, Requests: 3, Events: 6, Depth: 7}},
	} {
		do(func(tx Backfills) error {
			if err := tx.AddBackfill(1, step.add); err != nil {
				return err
			}
			got, found, err := tx.Backfill(1)
			if got != step.want || !found {
				t.Errorf("progress %+v, %t, want %+v", got, found, step.want)
			}
			return err
		})
	}
}
