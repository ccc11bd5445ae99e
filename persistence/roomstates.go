// SPDX-License-Identifier: Apache-2.0

package persistence

// What a room's current state was, as of each position at which it changed. At the position of an event it is the state before with
// the event in its slot, as whoever folds a timeline has it. What resolution makes of that has a position of its own, without event.
const roomStatesSchema = `
CREATE TABLE room_states (
	room     INTEGER NOT NULL, -- rooms.nid
	position INTEGER NOT NULL, -- in the one sequence
	root     BLOB    NOT NULL,
	silent   INTEGER NOT NULL, -- 1 where no event has the position
	gap      INTEGER NOT NULL, -- 1 where what is before the event is not here, or was not when it came
	PRIMARY KEY (room, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_states_gap ON room_states (room, position) WHERE gap = 1;
CREATE INDEX room_states_silent ON room_states (position) WHERE silent = 1;`

// RoomState is the current state of a room from a position on, until the next one.
type RoomState struct {
	Room     int64
	Position Position
	Root     []byte
	Silent   bool // no event has the position
	Gap      bool // something is missing before the event of that position
}

const roomStateColumns = `SELECT room, position, root, silent, gap FROM room_states`

func (tx *Tx) roomStates(where string, args ...any) (list []RoomState, err error) {
	err = tx.query(roomStateColumns+where, args, func(r rowScanner) error {
		var s RoomState
		err := r.Scan(&s.Room, &s.Position, &s.Root, &s.Silent, &s.Gap)
		list = append(list, s)
		return err
	})
	return list, err
}

// AddRoomState notes what a room's state is from a position on.
func (tx *Tx) AddRoomState(s RoomState) error {
	return tx.exec(`INSERT INTO room_states (room, position, root, silent, gap) VALUES (?, ?, ?, ?, ?)`,
		s.Room, int64(s.Position), orEmpty(s.Root), s.Silent, s.Gap)
}

// RoomStateAt is the state of a room as of a position.
func (tx *Tx) RoomStateAt(room int64, at Position) (s RoomState, found bool, err error) {
	list, err := tx.roomStates(` WHERE room = ? AND position <= ? ORDER BY position DESC LIMIT 1`, room, int64(at))
	if err != nil || len(list) == 0 {
		return RoomState{}, false, err
	}
	return list[0], true, nil
}

// RoomStatesBetween gives up to limit changes of a room's state after a position and through another, in order: those that no event
// made, and those before which something is missing.
func (tx *Tx) RoomStatesBetween(room int64, after, through Position, limit int) ([]RoomState, error) {
	return tx.roomStates(` WHERE room = ? AND position > ? AND position <= ? AND (silent = 1 OR gap = 1) ORDER BY position LIMIT ?`,
		room, int64(after), int64(through), limit)
}

// GapsThrough gives up to limit positions of a room, newest first, of events through a position before which something is missing, or was
// when they came.
func (tx *Tx) GapsThrough(room int64, through Position, limit int) (list []Position, err error) {
	err = tx.query(`SELECT position FROM room_states WHERE room = ? AND gap = 1 AND position <= ? ORDER BY position DESC LIMIT ?`,
		[]any{room, int64(through), limit}, func(r rowScanner) error {
			var at Position
			err := r.Scan(&at)
			list = append(list, at)
			return err
		})
	return list, err
}

// SilentStatesSince gives up to limit changes of any room's state that no event made, at positions after a position, in order.
func (tx *Tx) SilentStatesSince(after Position, limit int) ([]RoomState, error) {
	return tx.roomStates(` WHERE position > ? AND silent = 1 ORDER BY position LIMIT ?`, int64(after), limit)
}
