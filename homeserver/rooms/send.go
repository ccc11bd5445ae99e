// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	memberType    = "m.room.member"
	authoriserKey = "join_authorised_via_users_server" // member of a join: who let the user into a restricted room
	redactionType = "m.room.redaction"
)

// send is PUT /rooms/{roomId}/send/{eventType}/{txnId}.
func (r *Rooms) send(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	content, err := q.Object()
	if err != nil {
		return api.Reply{}, err
	}
	draft := pdu.Draft{Type: q.Param("type"), Content: content, Sender: q.User}
	if draft.Type == redactionType {
		if draft.Redacts, err = redactedBy(content); err != nil {
			return api.Reply{}, err
		}
	}
	return r.sendOnce(ctx, q, "send/"+string(room)+"/"+draft.Type, room, draft)
}

// redactedBy is the event that the content of a redaction names, as it does in room versions from 11 on.
func redactedBy(content json.RawMessage) (ident.EventID, error) {
	var named struct {
		Redacts string `json:"redacts"`
	}
	if err := json.Unmarshal(content, &named); err != nil {
		return "", api.BadJSON("redacts is no event id")
	}
	id, err := ident.ParseEventID(named.Redacts)
	if err != nil {
		return "", api.BadJSON("redacts: %v", err)
	}
	return id, nil
}

// redact is PUT /rooms/{roomId}/redact/{eventId}/{txnId}.
func (r *Rooms) redact(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	target, err := eventOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	var body struct {
		Reason *string `json:"reason,omitempty"`
	}
	if err := q.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	content, err := json.Marshal(body)
	if err != nil {
		return api.Reply{}, err
	}
	return r.sendOnce(ctx, q, "redact/"+string(room)+"/"+string(target), room, pdu.Draft{
		Type: redactionType, Content: content, Sender: q.User, Redacts: target,
	})
}

// sendOnce sends a draft under the transaction of a request.
func (r *Rooms) sendOnce(ctx context.Context, q *api.Request, endpoint string, room ident.RoomID, draft pdu.Draft) (api.Reply, error) {
	t, err := transactionOf(q, endpoint)
	if err != nil {
		return api.Reply{}, err
	}
	id, err := r.once(ctx, t, func(ctx context.Context, kept keeper) (ident.EventID, error) {
		if draft.Type == redactionType {
			if err := r.mayRedact(ctx, room, draft.Sender, draft.Redacts); err != nil {
				return "", err
			}
		}
		if err := r.mayRelate(ctx, room, draft); err != nil {
			return "", err
		}
		draft.Kept = kept
		return r.server.Submit(ctx, room, draft)
	})
	return eventReply(id, refusal(err))
}

// eventReply is the answer to whatever has made an event.
func eventReply(id ident.EventID, err error) (api.Reply, error) {
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]ident.EventID{"event_id": id})
}
