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
