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

// Residents is a job's access to who of ours is in which room, and with which servers.
type Residents interface {
	SetResident(room int64, user ident.UserID, joined bool) error
	ClearResidents(room int64) error
	SetRoomServer(room int64, name ident.ServerName, joined int) error
	ServersAround(user ident.UserID, except ident.RoomID) ([]ident.ServerName, error)
	RoomsWith(server ident.ServerName, limit int) ([]persistence.CommonRoom, error)
}

// ToDevice is a job's access to the messages to devices that were seen.
type ToDevice interface {
	SeeToDevice(sender ident.UserID, message string, limit int) (first bool, err error)
}

// DeviceLists is a job's access to what is known of device lists.
type DeviceLists interface {
	DeviceList(user ident.UserID) (persistence.DeviceList, bool, error)
	PutDeviceList(l persistence.DeviceList) error
	DropDeviceList(user ident.UserID) error
	StaleDeviceLists(limit int) ([]persistence.DeviceList, error)
	OwnStream(user ident.UserID) (int64, error)
	NextOwnStream(user ident.UserID, least int64) (stream, before int64, err error)
}

// RunResidents holds users of ours and their rooms to their contract: around a user are the servers of all the rooms that the user is
// joined to, each once.
func RunResidents(t *testing.T, do func(job func(Residents) error)) {
	t.Helper()
	const user = ident.UserID("@alice:a.example")
	for _, step := range []struct {
		name   string
		job    func(Residents) error
		around string // servers around the user, and those without the first room
		but    string
		rooms  int // with c.example
	}{
		{"nothing", func(Residents) error { return nil }, "", "", 0},
		{"two rooms", func(tx Residents) error {
			for room, servers := range map[int64][]ident.ServerName{1: {"a.example", "b.example"}, 2: {"a.example", "c.example"}} {
				for _, name := range servers {
					if err := tx.SetRoomServer(room, name, 2); err != nil {
						return err
					}
				}
				if err := tx.SetResident(room, user, true); err != nil {
					return err
				}
			}
			return tx.SetResident(1, "@anna:a.example", true)
		}, "a.example b.example c.example", "a.example c.example", 1},
		{"joined again", func(tx Residents) error { return tx.SetResident(1, user, true) }, "a.example b.example c.example", "a.example c.example", 1},
		{"a server goes", func(tx Residents) error { return tx.SetRoomServer(2, "c.example", 0) }, "a.example b.example", "a.example", 0},
		{"out of one", func(tx Residents) error { return tx.SetResident(2, user, false) }, "a.example b.example", "", 0},
		{"a room is counted anew", func(tx Residents) error { return tx.ClearResidents(1) }, "", "", 0},
	} {
		do(func(tx Residents) error {
			if err := step.job(tx); err != nil {
				return err
			}
			for except, want := range map[ident.RoomID]string{"": step.around, "!1:a.example": step.but} {
				got, err := tx.ServersAround(user, except)
				if err != nil {
					return err
				}
				if text := joined(got); text != want {
					t.Errorf("%s: servers without %q: %s, want %s", step.name, except, text, want)
				}
			}
			rooms, err := tx.RoomsWith("c.example", 9)
			if len(rooms) != step.rooms {
				t.Errorf("%s: %d rooms with c.example, want %d", step.name, len(rooms), step.rooms)
			}
			return err
		})
	}
}

func joined(names []ident.ServerName) string {
	text := ""
	for i, name := range names {
		if i > 0 {
			text += " "
		}
		text += string(name)
	}
	return text
}

// RunToDevice holds messages that were seen to their contract: each sender's ids are apart, and of a server so many are remembered as
// the limit says, the latest.
func RunToDevice(t *testing.T, do func(job func(ToDevice) error)) {
	t.Helper()
	const limit = 3
	see := func(sender ident.UserID, message string, want bool) {
		t.Helper()
		do(func(tx ToDevice) error {
			first, err := tx.SeeToDevice(sender, message, limit)
			if first != want {
				t.Errorf("%s of %s: first is %t, want %t", message, sender, first, want)
			}
			return err
		})
	}
	see("@u:b.example", "1", true)
	see("@u:b.example", "1", false)
	see("@v:b.example", "1", true)
	see("@u:c.example", "1", true)
	for n := range limit {
		see("@u:b.example", fmt.Sprint("more ", n), true)
	}
	see("@u:b.example", fmt.Sprint("more ", 0), false)
	see("@u:b.example", "1", true) // forgotten
	see("@u:c.example", "1", false)
}

// RunDeviceLists holds what is known of device lists to its contract: what is put is found, stale ones by when they are due, and the
// numbers of our own updates rise.
func RunDeviceLists(t *testing.T, do func(job func(DeviceLists) error)) {
	t.Helper()
	one := persistence.DeviceList{User: "@one:b.example", Streams: []int64{5, -7, 1 << 52}, Stale: true, Attempts: 2, DueAt: 900}
	two := persistence.DeviceList{User: "@two:b.example", Streams: []int64{1}, Stale: true, DueAt: 100}
	done := persistence.DeviceList{User: "@done:b.example", Streams: []int64{3}}
	stale := func(want ...persistence.DeviceList) {
		t.Helper()
		do(func(tx DeviceLists) error {
			got, err := tx.StaleDeviceLists(9)
			if !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
				t.Errorf("stale: %+v, want %+v", got, want)
			}
			return err
		})
	}
	stale()
	do(func(tx DeviceLists) error {
		for _, l := range []persistence.DeviceList{one, two, done} {
			if err := tx.PutDeviceList(l); err != nil {
				return err
			}
		}
		first, err := tx.StaleDeviceLists(1)
		if err != nil || len(first) != 1 || first[0].User != two.User {
			t.Errorf("the first that is due: %+v", first)
		}
		got, found, err := tx.DeviceList(done.User)
		if !found || !reflect.DeepEqual(got, done) {
			t.Errorf("found %t %+v, want %+v", found, got, done)
		}
		return err
	})
	stale(two, one)
	two.Stale, two.DueAt = false, 0
	do(func(tx DeviceLists) error { return tx.PutDeviceList(two) })
	stale(one)
	do(func(tx DeviceLists) error { return tx.DropDeviceList(one.User) })
	stale()
	var numbers []int64
	do(func(tx DeviceLists) error {
		for _, least := range []int64{0, 0, 100, 50} {
			stream, before, err := tx.NextOwnStream("@alice:a.example", least)
			if err != nil {
				return err
			}
			numbers = append(numbers, before, stream)
		}
		last, err := tx.OwnStream("@alice:a.example")
		numbers = append(numbers, last)
		return err
	})
	if want := []int64{0, 1, 1, 2, 2, 100, 100, 101, 101}; !slices.Equal(numbers, want) {
		t.Errorf("own updates, each with the one before: %v, want %v", numbers, want)
	}
}
