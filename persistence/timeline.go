// SPDX-License-Identifier: Apache-2.0

package persistence

// A room's events in four orders: by the time that their servers claim, of those that have a place in the graph and stand there
// (accepted or soft-failed, whenever they came), by number, of all, by position, of those that have one, and by depth, of accepted history,
// which has none. All but the last grow near the end of each room's part.
const timelineSchema = `
CREATE INDEX events_time ON events (room, ts) WHERE before IS NOT NULL AND outcome IN (1, 2);
CREATE INDEX events_room ON events (room);
CREATE INDEX events_timeline ON events (room, position) WHERE position IS NOT NULL;
CREATE INDEX events_history ON events (room, ` + historyDepth + `, nid) WHERE ` + isHistory + `;`

// The texts are those of the index, letter by letter: only then it is used. What is redacted has kept its depth. JSON that is nested more
// deeply than SQLite reads, which an event may be, counts as of depth 0.
const (
	historyDepth = `CASE WHEN json_valid(CAST(json AS TEXT)) THEN CAST(json_extract(CAST(json AS TEXT), '$.depth') AS INTEGER) ELSE 0 END`
	isHistory    = `past = 2 AND outcome = 1 AND before IS NOT NULL AND position IS NULL`
)

// HistoryPlace is a place in a room's history: below all events of greater depth, and of those of this depth from this number on.
type HistoryPlace struct {
	Depth int64
	NID   int64
}

// RoomHistory gives up to limit accepted events of a room's history between two places, deepest first, or the other way round if forward.
func (tx *Tx) RoomHistory(room int64, from, to HistoryPlace, forward bool, limit int) ([]Event, error) {
	const between = ` JOIN (SELECT nid AS number, ` + historyDepth + ` AS depth FROM events WHERE room = ? AND ` + isHistory + ` AND ` +
		historyDepth + ` >= ? AND ` + historyDepth + ` <= ? AND (` + historyDepth + `, nid) >= (?, ?) AND (` + historyDepth + `, nid) < (?, ?)
		ORDER BY ` + historyDepth // the depths alone are what the index is searched by
	const then = `) ON number = e.nid ORDER BY depth`
	args := []any{room, from.Depth, to.Depth, from.Depth, from.NID, to.Depth, to.NID, limit}
	if forward {
		return tx.events(between+`, nid LIMIT ?`+then+`, e.nid`, args...)
	}
	return tx.events(between+` DESC, nid DESC LIMIT ?`+then+` DESC, e.nid DESC`, args...)
}

// EventsByTime gives up to limit events of a room's graph that were accepted or soft-failed, closest to a time first: those of
// the time itself or later if forward, else those of the time or earlier. Times are origin_server_ts, in ms. Events of one
// time come in the order of their numbers, or backwards.
func (tx *Tx) EventsByTime(room int64, ts int64, forward bool, limit int) ([]Event, error) {
	const at = ` WHERE e.room = ? AND e.before IS NOT NULL AND e.outcome IN (1, 2) AND e.ts `
	if forward {
		return tx.events(at+`>= ? ORDER BY e.ts, e.nid LIMIT ?`, room, ts, limit)
	}
	return tx.events(at+`<= ? ORDER BY e.ts DESC, e.nid DESC LIMIT ?`, room, ts, limit)
}

// RoomEventsFrom gives up to limit events of a room with numbers greater than nid, by number, whether they are in the graph or
// not.
func (tx *Tx) RoomEventsFrom(room int64, nid int64, limit int) ([]Event, error) {
	return tx.events(` WHERE e.room = ? AND e.nid > ? ORDER BY e.nid LIMIT ?`, room, nid, limit)
}

// RoomTimeline gives up to limit events of a room with positions after a position and before another, oldest first if forward, else
// newest first.
func (tx *Tx) RoomTimeline(room int64, after, before Position, forward bool, limit int) ([]Event, error) {
	const between = ` WHERE e.room = ? AND e.position > ? AND e.position < ? ORDER BY e.position`
	if forward {
		return tx.events(between+` LIMIT ?`, room, int64(after), int64(before), limit)
	}
	return tx.events(between+` DESC LIMIT ?`, room, int64(after), int64(before), limit)
}

// LastInRoom is the position of the newest event of a room, 0 for none.
func (tx *Tx) LastInRoom(room int64) (last Position, err error) {
	_, err = tx.queryRow(`SELECT position FROM events WHERE room = ? AND position IS NOT NULL ORDER BY position DESC LIMIT 1`, []any{room}, &last)
	return last, err
}

func (tx *Tx) events(where string, args ...any) (list []Event, err error) {
	err = tx.query(eventColumns+where, args, func(r rowScanner) error {
		e, err := scanEvent(r)
		list = append(list, e)
		return err
	})
	return list, err
}
