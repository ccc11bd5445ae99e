// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

// RoomStates is a job's access to the states of rooms by position.
type RoomStates interface {
	AddRoomState(s persistence.RoomState) error
	RoomStateAt(room int64, at persistence.Position) (s persistence.RoomState, found bool, err error)
	RoomStatesBetween(room int64, after, through persistence.Position, limit int) ([]persistence.RoomState, error)
	SilentStatesSince(after persistence.Position, limit int) ([]persistence.RoomState, error)
}

// RunRoomStates holds the states of rooms to their contract: a state holds from its position until the next one's, those that no event
// made are found by position, those and the ones behind a gap by room.
func RunRoomStates(t *testing.T, do func(job func(RoomStates) error)) {
	t.Helper()
	do(func(tx RoomStates) error {
		for _, s := range []persistence.RoomState{
			{Room: 1, Position: 3, Root: []byte("a")},
			{Room: 1, Position: 5, Root: []byte("b"), Silent: true},
			{Room: 2, Position: 6, Root: []byte("c"), Silent: true},
			{Room: 1, Position: 7, Root: []byte("d"), Gap: true},
		} {
			if err := tx.AddRoomState(s); err != nil {
				return err
			}
		}
		return nil
	})
	for at, want := range map[persistence.Position]string{2: "", 3: "a", 4: "a", 5: "b", 6: "b", 7: "d", 99: "d"} {
		do(func(tx RoomStates) error {
			s, found, err := tx.RoomStateAt(1, at)
			if string(s.Root) != want || found != (want != "") {
				t.Errorf("state as of %d: %q, found %t, want %q", at, s.Root, found, want)
			}
			return err
		})
	}
	do(func(tx RoomStates) error {
		between, err := tx.RoomStatesBetween(1, 3, 7, 10)
		if got := roots(between); got != "5b 7d " {
			t.Errorf("marks between 3 and 7: %s, want those of 5 and 7", got)
		}
		if err != nil {
			return err
		}
		silent, err := tx.SilentStatesSince(3, 10)
		if got := roots(silent); got != "5b 6c " {
			t.Errorf("silent since 3: %s, want those of 5 and 6", got)
		}
		return err
	})
	do(func(tx RoomStates) error {
		first, err := tx.SilentStatesSince(0, 1)
		if got := roots(first); got != "5b " {
			t.Errorf("the first silent one: %s, want that of 5", got)
		}
		return err
	})
}

func roots(list []persistence.RoomState) (all string) {
	for _, s := range list {
		all += fmt.Sprintf("%d%s ", s.Position, s.Root)
	}
	return all
}
