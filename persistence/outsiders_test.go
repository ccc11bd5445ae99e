// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

// An invitation that has ended is remembered for a while and counts, a knock is not; a room that is here has nobody outside.
func TestOutsiders(t *testing.T) {
	store := newStore(t, Options{NoSync: true})
	const bob = ident.UserID("@bob:b")
	outsider := func(room ident.RoomID, membership string) Outsider {
		return Outsider{
			User: bob, Room: room, Version: "10", Membership: membership, Event: ident.EventID("$" + room), Sender: "@alice:a", Via: "a",
			Depth: 7, TS: 5, Since: 10,
		}
	}
	look := func(room ident.RoomID) (o Outsider, found bool) {
		t.Helper()
		err := store.View(t.Context(), func(tx *Tx) (err error) {
			o, found, err = tx.Outsider(bob, room)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return o, found
	}
	for room, membership := range map[ident.RoomID]string{"!i:a": "invite", "!j:a": "invite", "!k:a": "knock"} {
		update(t, store, func(tx *Tx) error { return tx.PutOutsider(outsider(room, membership)) })
	}
	if got, _ := look("!i:a"); !cmp.Equal(got, outsider("!i:a", "invite")) {
		t.Errorf("stored %+v", got)
	}
	update(t, store, func(tx *Tx) error { return tx.EndOutsider(bob, "!i:a", 20, 0) })
	update(t, store, func(tx *Tx) error { return tx.EndOutsider(bob, "!k:a", 20, 0) })
	want := outsider("!i:a", "leave")
	want.Since = 20
	if got, _ := look("!i:a"); !cmp.Equal(got, want) {
		t.Errorf("of the invitation that has ended: %+v, want %+v", got, want)
	}
	if got, found := look("!k:a"); found {
		t.Errorf("of the knock that has ended: %+v", got)
	}
	for limit, want := range map[int]int{1: 1, 9: 2} {
		update(t, store, func(tx *Tx) error {
			n, err := tx.InvitedVia(bob, "a", limit)
			if err == nil && n != want {
				t.Errorf("up to %d rooms: %d, want %d", limit, n, want)
			}
			return err
		})
	}
	update(t, store, func(tx *Tx) error { return tx.EndOutsider(bob, "!j:a", 30, 21) })
	if got, found := look("!i:a"); found {
		t.Errorf("remembered for ever: %+v", got)
	}
	update(t, store, func(tx *Tx) error { return tx.ForgetOutsiders("!j:a") })
	if got, found := look("!j:a"); found {
		t.Errorf("of a room that is here: %+v", got)
	}
}
