// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Alarms is a job's access to the alarms of rooms 1 and 2.
type Alarms interface {
	AddAlarm(a persistence.Alarm) error
	Alarms(room ident.RoomID, before int64, limit int) ([]persistence.Alarm, error)
}

// Sightings is a job's access to what was said of servers' keys.
type Sightings interface {
	SaveKeySighting(s persistence.KeySighting) error
	KeySightings(server ident.ServerName) ([]persistence.KeySighting, error)
}

// Redactions is a job's access to redactions among events 1, 2 and 3 of room 1.
type Redactions interface {
	PutRedaction(room int64, target ident.EventID, redaction int64, held bool) error
	HoldsRedactions(room int64) (bool, error)
	HeldRedactions(room int64, targets []ident.EventID) ([]persistence.Redaction, error)
	RedactEvent(nid, by int64, json []byte) error
	Event(id ident.EventID) (e persistence.Event, found bool, err error)
}

// RunAlarms holds alarms to their contract: listed newest first, by pages and by room; the newest hundred of a room stay.
func RunAlarms(t *testing.T, do func(job func(Alarms) error)) {
	t.Helper()
	const kept, added = 100, 150
	do(func(tx Alarms) error {
		if err := tx.AddAlarm(persistence.Alarm{RoomNID: 2, At: 1, Severe: true, Detail: []byte("second room")}); err != nil {
			return err
		}
		for i := range added {
			if err := tx.AddAlarm(persistence.Alarm{RoomNID: 1, At: int64(i), Detail: fmt.Append(nil, i)}); err != nil {
				return err
			}
		}
		return nil
	})
	var newest []persistence.Alarm
	do(func(tx Alarms) (err error) {
		newest, err = tx.Alarms("", 0, 2)
		return err
	})
	for _, tt := range []struct {
		name        string
		room        ident.RoomID
		before      int64
		limit, want int
		first       string
	}{
		{"of all rooms", "", 0, 2, 2, "149"},
		{"the next page", "", newest[1].NID, 1, 1, "147"},
		{"of a room", "!1:a.example", 0, 1000, kept, "149"},
		{"the next page of a room", "!1:a.example", newest[1].NID, 1000, kept - 2, "147"},
		{"of the other room", "!2:a.example", 0, 10, 1, "second room"},
		{"of a room that is not known", "!3:a.example", 0, 10, 0, ""},
	} {
		do(func(tx Alarms) error {
			got, err := tx.Alarms(tt.room, tt.before, tt.limit)
			if len(got) != tt.want || tt.want > 0 && string(got[0].Detail) != tt.first {
				t.Errorf("%s: %d alarms, want %d from %q on: %+v", tt.name, len(got), tt.want, tt.first, got)
			}
			return err
		})
	}
	do(func(tx Alarms) error {
		got, err := tx.Alarms("!2:a.example", 0, 1)
		want := []persistence.Alarm{{NID: 1, RoomNID: 2, Room: "!2:a.example", At: 1, Severe: true, Detail: []byte("second room")}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("alarm %+v, want %+v", got, want)
		}
		return err
	})
}

// RunSightings holds sightings of keys to their contract: one row for each thing that was said by each source, from the first time to
// the last; by key, and then in the order in which they were first seen. Who says something else each time is forgotten from the oldest on.
func RunSightings(t *testing.T, do func(job func(Sightings) error)) {
	t.Helper()
	saw := func(source ident.ServerName, id ident.KeyID, public string, expired, first, last int64) persistence.KeySighting {
		return persistence.KeySighting{
			Server: "a.example", Source: source, KeyID: id, Public: []byte(public), ExpiredAt: expired, ValidUntil: last + 5,
			FirstSeen: first, LastSeen: last,
		}
	}
	const added = 1000
	save := func(list ...persistence.KeySighting) {
		do(func(tx Sightings) error {
			for _, s := range list {
				if err := tx.SaveKeySighting(s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	all := func() (got []persistence.KeySighting) {
		do(func(tx Sightings) (err error) {
			got, err = tx.KeySightings("a.example")
			return err
		})
		return got
	}
	save(saw("", "ed25519:a", "one", 0, 10, 10), saw("", "ed25519:a", "one", 0, 20, 20), // the same again
		saw("", "ed25519:a", "one", 15, 30, 30),                                               // retired
		saw("notary.example", "ed25519:a", "two", 0, 25, 25),                                  // another key under the same id
		persistence.KeySighting{Server: "b.example", KeyID: "ed25519:a", Public: []byte("x")}, // another server
		saw("", "ed25519:0", "two", 0, 40, 40))
	want := []persistence.KeySighting{
		saw("", "ed25519:0", "two", 0, 40, 40), saw("", "ed25519:a", "one", 0, 10, 20), saw("notary.example", "ed25519:a", "two", 0, 25, 25),
		saw("", "ed25519:a", "one", 15, 30, 30),
	}
	if got := all(); !reflect.DeepEqual(got, want) {
		t.Errorf("sightings\n %+v, want\n %+v", got, want)
	}
	var many []persistence.KeySighting
	for i := range int64(added) {
		many = append(many, saw("", "ed25519:a", "one", 100+i, 100+i, 100+i))
	}
	save(many...)
	got := all()
	if n := int64(len(got)); n >= added/2 || n < 64 || got[0].FirstSeen != 100+added-n || got[n-1].FirstSeen != 100+added-1 {
		t.Errorf("of %d sightings %d stay, the first of %d", added, n, got[0].FirstSeen)
	}
}

// RunRedactions holds redactions to their contract: held for their target until they take effect, which they do once; the text that is
// left is that of the first one (P-60, P-62).
func RunRedactions(t *testing.T, do func(job func(Redactions) error)) {
	t.Helper()
	const target, first, second = 1, 2, 3
	by := func(ids ...ident.EventID) (list []persistence.Redaction) {
		for _, id := range ids {
			list = append(list, persistence.Redaction{Target: "$1", Redaction: id})
		}
		return list
	}
	put := func(held bool, redactions ...int64) func(Redactions) error {
		return func(tx Redactions) error {
			for _, r := range redactions {
				if err := tx.PutRedaction(1, "$1", r, held); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, step := range []struct {
		name     string
		job      func(Redactions) error
		held     []persistence.Redaction
		text, by string
	}{
		{"nothing", put(true), nil, `{"n":1}`, ""},
		{"for another event", func(tx Redactions) error { return tx.PutRedaction(1, "$absent", second, true) }, nil, `{"n":1}`, ""},
		{"in another room", func(tx Redactions) error { return tx.PutRedaction(2, "$2", first, true) }, nil, `{"n":1}`, ""},
		{"two", put(true, second, first), by("$2", "$3"), `{"n":1}`, ""},
		{"one takes effect", func(tx Redactions) error {
			if err := put(false, first)(tx); err != nil {
				return err
			}
			return tx.RedactEvent(target, first, []byte(`{"left":1}`))
		}, by("$3"), `{"left":1}`, "$2"},
		{"what has taken effect is not held again", put(true, first), by("$3"), `{"left":1}`, "$2"},
		{"the other takes effect", func(tx Redactions) error {
			if err := put(false, second)(tx); err != nil {
				return err
			}
			return tx.RedactEvent(target, second, []byte(`{"left":2}`))
		}, nil, `{"left":1}`, "$2"},
	} {
		do(func(tx Redactions) error {
			if err := step.job(tx); err != nil {
				return err
			}
			held, err := tx.HeldRedactions(1, []ident.EventID{"$1", "$2"})
			if err != nil {
				return err
			}
			if any, err := tx.HoldsRedactions(1); err != nil || any == (step.name == "nothing") { // that for "$absent" stays
				t.Errorf("%s: the room holds redactions: %v, %v", step.name, any, err)
			}
			e, _, err := tx.Event("$1")
			if !slices.Equal(held, step.held) || string(e.JSON) != step.text || string(e.RedactedBy) != step.by {
				t.Errorf("%s: held %v, event %s redacted by %q, want %v, %s by %q", step.name, held, e.JSON, e.RedactedBy, step.held, step.text, step.by)
			}
			return err
		})
	}
}
