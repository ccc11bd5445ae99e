// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

func TestKeyDocuments(t *testing.T) {
	s := newStore(t, Options{})
	doc := func(server ident.ServerName, at int64, text string) KeyDocument {
		return KeyDocument{Server: server, FetchedAt: at, Document: []byte(text)}
	}
	for _, step := range []struct {
		save KeyDocument
		keep []int64
		want []KeyDocument // of a.example, the newest first
	}{
		{doc("a.example", 10, "one"), nil, []KeyDocument{doc("a.example", 10, "one")}},
		{doc("b.example", 10, "other"), nil, []KeyDocument{doc("a.example", 10, "one")}},
		{doc("a.example", 20, "two"), []int64{10}, []KeyDocument{doc("a.example", 20, "two"), doc("a.example", 10, "one")}},
		{doc("a.example", 30, "three"), []int64{10}, []KeyDocument{doc("a.example", 30, "three"), doc("a.example", 10, "one")}},
		{doc("a.example", 30, "again"), []int64{10}, []KeyDocument{doc("a.example", 30, "again"), doc("a.example", 10, "one")}},
		{doc("a.example", 40, "four"), nil, []KeyDocument{doc("a.example", 40, "four")}},
	} {
		update(t, s, func(tx *Tx) error { return tx.SaveKeyDocument(step.save, step.keep) })
		err := s.View(context.Background(), func(tx *Tx) error {
			got, err := tx.KeyDocuments("a.example")
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("after %s (-want +got):\n%s", step.save.Document, diff)
			}
			none, noErr := tx.KeyDocuments("c.example")
			if len(none) != 0 || noErr != nil {
				t.Errorf("of an unknown server: %v, %v", none, noErr)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeySightings(t *testing.T) {
	s := newStore(t, Options{})
	sighting := func(source ident.ServerName, id ident.KeyID, public string, expired, first, last int64) KeySighting {
		return KeySighting{
			Server: "a.example", Source: source, KeyID: id, Public: []byte(public), ExpiredAt: expired,
			ValidUntil: last + 5, FirstSeen: first, LastSeen: last,
		}
	}
	update(t, s, func(tx *Tx) error {
		for _, seen := range []KeySighting{
			sighting("", "ed25519:a", "one", 0, 10, 10),
			sighting("", "ed25519:a", "one", 0, 20, 20),                    // the same again
			sighting("", "ed25519:a", "one", 15, 30, 30),                   // retired
			sighting("notary.example", "ed25519:a", "two", 0, 25, 25),      // another key under the same id
			{Server: "b.example", KeyID: "ed25519:a", Public: []byte("x")}, // another server
		} {
			if err := tx.SaveKeySighting(seen); err != nil {
				return err
			}
		}
		return nil
	})
	want := []KeySighting{
		sighting("", "ed25519:a", "one", 0, 10, 20), sighting("notary.example", "ed25519:a", "two", 0, 25, 25),
		sighting("", "ed25519:a", "one", 15, 30, 30),
	}
	sightings := func() (got []KeySighting) {
		err := s.View(context.Background(), func(tx *Tx) (err error) {
			got, err = tx.KeySightings("a.example")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if diff := cmp.Diff(want, sightings()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	update(t, s, func(tx *Tx) error { // a server that says something else each time
		for i := range int64(2 * keptSightings) {
			if err := tx.SaveKeySighting(sighting("", "ed25519:a", "one", 100+i, 100+i, 100+i)); err != nil {
				return err
			}
		}
		return nil
	})
	got := sightings()
	if len(got) != keptSightings || got[0].FirstSeen != 100+keptSightings {
		t.Errorf("%d rows, the first of %d", len(got), got[0].FirstSeen)
	}
}
