// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const anAddress = "192.0.2.1" // of httptest's requests

// A device says at once when and where it was last seen; the store hears of it some minutes later, and at the end.
func TestSightings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, nil)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.accounts.Run(ctx) }()
		alice, bob := d.register("alice"), d.register("bob")

		begun := time.Now().UnixMilli()
		want := object{"device_id": "D1", "last_seen_ip": anAddress, "last_seen_ts": float64(begun)}
		if diff := cmp.Diff(want, d.want(200, "", "GET", "devices/D1", alice, nil).members); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := d.stored("@alice:a.example"); got != (sighting{}) {
			t.Errorf("stored at once: %v", got)
		}
		time.Sleep(sightingsEvery)
		synctest.Wait()
		if got := d.stored("@alice:a.example"); got != (sighting{begun, anAddress}) {
			t.Errorf("stored after a while: %v, want %v", got, begun)
		}
		if len(d.accounts.sightings.all()) != 0 {
			t.Errorf("not forgotten: %v", d.accounts.sightings.all())
		}

		d.want(200, "", "GET", "account/whoami", bob, nil)
		want = object{"user_id": "@bob:a.example", "devices": object{"D1": object{"sessions": []any{object{"connections": []any{
			object{"ip": anAddress, "last_seen": float64(time.Now().UnixMilli())},
		}}}}}}
		if diff := cmp.Diff(want, d.want(200, "", "GET", "admin/whois/@bob:a.example", bob, nil).members); diff != "" {
			t.Errorf("whois (-want +got):\n%s", diff)
		}
		d.want(403, "M_FORBIDDEN", "GET", "admin/whois/@bob:a.example", alice, nil)
		d.want(400, "M_INVALID_PARAM", "GET", "admin/whois/bob", alice, nil)

		last := time.Now().UnixMilli()
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := d.stored("@bob:a.example"); got != (sighting{last, anAddress}) {
			t.Errorf("stored at the end: %v, want %v", got, last)
		}

		d.want(200, "", "POST", "delete_devices", alice, object{"devices": []string{"D1"}, "auth": prove("alice", "pw")})
		if _, waits := d.accounts.sightings.of(deviceKey{"@alice:a.example", "D1"}); waits {
			t.Error("a device that is gone is remembered")
		}
	})
}

// Administrators may look at others.
func TestWhoisForAdministrators(t *testing.T) {
	d := openDesk(t, nil)
	d.register("alice")
	root := d.register("root")
	err := d.store.Update(t.Context(), func(tx *persistence.Tx) error {
		_, err := tx.Exec(`UPDATE hs_users SET admin = 1 WHERE user = '@root:a.example'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := object{"user_id": "@alice:a.example", "devices": object{}} // she has not asked for anything
	if diff := cmp.Diff(want, d.want(200, "", "GET", "admin/whois/@alice:a.example", root, nil).members); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.want(404, "M_NOT_FOUND", "GET", "admin/whois/@nobody:a.example", root, nil)
}

// What waits to be written is bounded, whoever comes in.
func TestSightingsAreBounded(t *testing.T) {
	a := &Accounts{sightings: newSightings()}
	for i := range maxSightings + 10 {
		a.Seen(api.Caller{User: "@alice:a.example", Device: string(rune('a' + i))}, anAddress+":1")
	}
	a.Seen(api.Caller{User: "@alice:a.example", Device: "nowhere"}, "@")
	if n := len(a.sightings.all()); n != maxSightings {
		t.Errorf("%d wait", n)
	}
}

// stored is the sighting of a user's only device as the store has it.
func (d *desk) stored(user ident.UserID) (seen sighting) {
	d.t.Helper()
	err := d.store.View(d.t.Context(), func(tx *persistence.Tx) error {
		_, err := tx.QueryRow(`SELECT seen, address FROM hs_devices WHERE user = ?`, []any{string(user)}, &seen.At, &seen.Address)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return seen
}
