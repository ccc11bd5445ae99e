// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// join has the first user of an origin enter a room over the target (M-01 to M-12), and gives the room as it is then.
func (o *origin) join(ctx context.Context, target ident.ServerName, id ident.RoomID) (*room, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	user := ident.UserID("@user0:" + string(o.name))
	answer, err := o.client.Do(ctx, target, transport.Call{
		Method: http.MethodGet, Query: url.Values{"ver": event.Versions()},
		Path: transport.Path("_matrix", "federation", "v1", "make_join", string(id), string(user)),
	})
	if err != nil {
		return nil, err
	}
	join, err := o.joinEvent(id, user, answer.Body)
	if err != nil {
		return nil, fmt.Errorf("answer of make_join: %w", err)
	}
	answer, err = o.client.Do(ctx, target, transport.Call{
		Method: http.MethodPut, Body: join.JSON(), MaxReply: joinReply, Timeout: joinTimeout,
		Path: transport.Path("_matrix", "federation", "v2", "send_join", string(id), string(join.ID())),
	})
	if err != nil {
		return nil, err
	}
	var reply struct {
		State []json.RawMessage `json:"state"`
	}
	if err := json.Unmarshal(answer.Body, &reply); err != nil {
		return nil, fmt.Errorf("answer of send_join: %w", err)
	}
	r := newRoom(id, o, join)
	for _, text := range reply.State {
		if err := r.takeState(text); err != nil {
			return nil, fmt.Errorf("state in the answer of send_join: %w", err)
		}
	}
	r.begin(join)
	return r, nil
}

// joinEvent makes our event of the target's template, of which only the place in the room counts.
func (o *origin) joinEvent(id ident.RoomID, user ident.UserID, body []byte) (*event.Event, error) {
	var reply struct {
		Version string          `json:"room_version"`
		Event   json.RawMessage `json:"event"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, err
	}
	version, known := event.VersionOf(reply.Version)
	if !known {
		return nil, fmt.Errorf("room version %.40q is not known", reply.Version)
	}
	offered, err := event.FromTemplate(version, reply.Event)
	if err != nil {
		return nil, err
	}
	if len(offered.PrevEvents) == 0 {
		return nil, errors.New("the event follows no other")
	}
	key := string(user)
	return event.Build(version, event.Proto{
		RoomID: id, Sender: user, Type: typeMember, StateKey: &key, Content: []byte(`{"membership":"join"}`),
		PrevEvents: offered.PrevEvents, AuthEvents: offered.AuthEvents, Depth: offered.Depth, OriginServerTS: time.Now().UnixMilli(),
	}, o.name, o.key)
}
