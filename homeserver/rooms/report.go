// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// What users report, for whoever runs the server to look at.
const reportsSchema = `
CREATE TABLE hs_reports (
	nid    INTEGER PRIMARY KEY,
	at     INTEGER NOT NULL, -- ms
	user   TEXT    NOT NULL,
	room   TEXT    NOT NULL,
	event  TEXT    NOT NULL, -- '' for the room itself
	score  INTEGER NOT NULL, -- -100 to 0, the most offensive first
	reason TEXT    NOT NULL
) STRICT;`

// report is the body of a report.
type report struct {
	Reason string `json:"reason"`
	Score  int    `json:"score"`
}

// reportEvent is POST /rooms/{roomId}/report/{eventId}, of what the user can see.
func (r *Rooms) reportEvent(ctx context.Context, q *api.Request) (api.Reply, error) {
	id, err := eventOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	x, err := r.read(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	if _, err := x.event(ctx, id); err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, r.keepReport(ctx, q, x.room, id)
}

// reportRoom is POST /rooms/{roomId}/report, also by who is not in the room.
func (r *Rooms) reportRoom(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	if err := r.mustBeHere(ctx, room); err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, r.keepReport(ctx, q, room, "")
}

func (r *Rooms) keepReport(ctx context.Context, q *api.Request, room ident.RoomID, id ident.EventID) error {
	var body report
	if err := q.Decode(&body); err != nil {
		return err
	}
	if len(body.Reason) > maxReason {
		return api.InvalidParam("the reason has %d bytes, at most %d are taken", len(body.Reason), maxReason)
	}
	return r.store.Update(ctx, func(tx *persistence.Tx) error {
		_, err := tx.Exec(`INSERT INTO hs_reports (at, user, room, event, score, reason) VALUES (?, ?, ?, ?, ?, ?)`,
			time.Now().UnixMilli(), string(q.User), string(room), string(id), max(-100, min(body.Score, 0)), body.Reason)
		if err != nil {
			return fmt.Errorf("keep a report: %w", err)
		}
		return nil
	})
}
