// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"strconv"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// appendEvent appends a state event as clients get it.
func appendEvent(dst []byte, e *event.Event) []byte {
	dst = append(append(dst, `{"content":`...), e.Content().Canonical()...)
	dst = canonicaljson.AppendString(append(dst, `,"event_id":`...), string(e.ID()))
	dst = strconv.AppendInt(append(dst, `,"origin_server_ts":`...), e.OriginServerTS(), 10)
	dst = canonicaljson.AppendString(append(dst, `,"room_id":`...), string(e.RoomID()))
	dst = canonicaljson.AppendString(append(dst, `,"sender":`...), string(e.Sender()))
	if key, ok := e.StateKey(); ok {
		dst = canonicaljson.AppendString(append(dst, `,"state_key":`...), key)
	}
	dst = canonicaljson.AppendString(append(dst, `,"type":`...), e.Type())
	return append(dst, '}')
}

// listReply is a JSON list of events.
func listReply(events []*event.Event) (api.Reply, error) {
	body := []byte{'['}
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendEvent(body, e)
	}
	return api.Reply{Body: append(body, ']')}, nil
}
