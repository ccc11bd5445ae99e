// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const annotation = "m.annotation"

// relating is what content says that its event relates to.
type relating struct {
	To struct {
		Kind  string        `json:"rel_type"`
		Event ident.EventID `json:"event_id"`
		Key   string        `json:"key"`
	} `json:"m.relates_to"`
}

// mayRelate refuses what servers are to keep clients from: a thread that begins in what itself relates to something (CS "Validation of
// m.thread relationships"), and a second annotation that says the same (CS "Avoiding duplicate annotations").
func (r *Rooms) mayRelate(ctx context.Context, room ident.RoomID, draft pdu.Draft) error {
	var content relating
	if json.Unmarshal(draft.Content, &content) != nil {
		return nil // what is not of the form relates to nothing
	}
	to := content.To
	if to.Kind != event.ThreadRelation && to.Kind != annotation {
		return nil
	}
	parent, err := r.engine.Placed(ctx, to.Event)
	if errors.Is(err, pdu.ErrUnknownEvent) || err == nil && parent.Event.RoomID() != room {
		return nil
	}
	if err != nil {
		return err
	}
	if to.Kind == annotation {
		return r.mayAnnotate(ctx, parent, draft, to.Key)
	}
	if _, _, related := parent.Event.Relation(); related {
		return &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: "no thread can begin in an event that itself relates to another"}
	}
	return nil
}

// mayAnnotate refuses an annotation that its sender has made already.
func (r *Rooms) mayAnnotate(ctx context.Context, parent pdu.Placed, draft pdu.Draft, key string) error {
	var made []persistence.Related
	err := r.store.View(ctx, func(tx *persistence.Tx) (err error) {
		made, err = tx.Related(persistence.RelatedQuery{
			Room: parent.RoomNID, Parent: parent.Event.ID(), Kind: annotation, Sender: draft.Sender, Through: math.MaxInt64, Limit: maxAnnotations,
		})
		return err
	})
	if err != nil {
		return err
	}
	for _, one := range made {
		found, err := r.engine.Placed(ctx, one.ID)
		if err != nil {
			return err
		}
		if found.Event.Type() == draft.Type && found.Event.Content().Get("m.relates_to").Get("key").IsText(key) {
			return &api.Error{Status: http.StatusBadRequest, Code: "M_DUPLICATE_ANNOTATION", Message: "you have said this of the event already"}
		}
	}
	return nil
}
