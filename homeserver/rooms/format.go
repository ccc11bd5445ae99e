// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"fmt"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu/event"
)

// appendState appends an event of a state as clients get it: nothing of it is relative to a place in the timeline.
func appendState(dst []byte, e *event.Event) []byte {
	age := max(0, time.Now().UnixMilli()-e.OriginServerTS())
	return roomview.AppendEvent(dst, e, roomview.Format{RoomID: true}, fmt.Appendf(nil, `{"age":%d}`, age))
}

// listReply is a JSON list of events of a state.
func listReply(events []*event.Event) (api.Reply, error) {
	body := []byte{'['}
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendState(body, e)
	}
	return api.Reply{Body: append(body, ']')}, nil
}
