// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

const federation = "/_matrix/federation/v1"

// routes are what a target may ask of an origin. Signatures of requests are not looked at: all that is told is known to the target.
func (o *origin) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_matrix/key/v2/server", func(w http.ResponseWriter, _ *http.Request) { write(w, o.keys) })
	mux.HandleFunc("GET "+federation+"/version", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"server": map[string]string{"name": "Strata load"}})
	})
	mux.HandleFunc("PUT "+federation+"/send/{txn}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what the target's own users do is nothing to us
		reply(w, map[string]any{"pdus": map[string]any{}})
	})
	mux.HandleFunc("GET "+federation+"/query/profile", func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string]any{}) })
	mux.HandleFunc("GET "+federation+"/event/{event}", o.answerEvent)
	mux.HandleFunc("GET "+federation+"/state/{room}", o.answerState)
	mux.HandleFunc("GET "+federation+"/state_ids/{room}", o.answerStateIDs)
	mux.HandleFunc("GET "+federation+"/event_auth/{room}/{event}", o.answerAuth)
	mux.HandleFunc("GET "+federation+"/backfill/{room}", o.answerBackfill)
	mux.HandleFunc("POST "+federation+"/get_missing_events/{room}", o.answerMissing)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, "M_UNRECOGNIZED") })
	return mux
}

func write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // whoever hangs up needs it no more
}

func reply(w http.ResponseWriter, value any) {
	body, _ := json.Marshal(value) // of texts, and events that are JSON
	write(w, body)
}

func refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"errcode":"`+code+`","error":"not here"}`)
}

// texts is events as they are written into an answer.
func texts(events []*event.Event) []json.RawMessage {
	list := make([]json.RawMessage, len(events))
	for i, e := range events {
		list[i] = e.JSON()
	}
	return list
}

func ids(events []*event.Event) []ident.EventID {
	list := make([]ident.EventID, len(events))
	for i, e := range events {
		list[i] = e.ID()
	}
	return list
}

func (o *origin) transaction(events ...*event.Event) map[string]any {
	return map[string]any{"origin": o.name, "origin_server_ts": time.Now().UnixMilli(), "pdus": texts(events)}
}

func (o *origin) answerEvent(w http.ResponseWriter, request *http.Request) {
	for _, r := range o.rooms {
		if e, ok := r.event(ident.EventID(request.PathValue("event"))); ok {
			reply(w, o.transaction(e))
			return
		}
	}
	refuse(w, "M_NOT_FOUND")
}

// at is the room and the state before the event that a request for state names.
func (o *origin) at(request *http.Request, id string) (r *room, before []*event.Event) {
	r = o.room(request.PathValue("room"))
	if r == nil {
		return nil, nil
	}
	if _, ours := r.event(ident.EventID(id)); !ours {
		return nil, nil
	}
	for _, e := range r.stateBefore(ident.EventID(id)) {
		before = append(before, e)
	}
	return r, before
}

func (o *origin) answerState(w http.ResponseWriter, request *http.Request) {
	r, before := o.at(request, request.URL.Query().Get("event_id"))
	if r == nil {
		refuse(w, "M_NOT_FOUND")
		return
	}
	reply(w, map[string]any{"pdus": texts(before), "auth_chain": texts(r.authChain(before))})
}

func (o *origin) answerStateIDs(w http.ResponseWriter, request *http.Request) {
	r, before := o.at(request, request.URL.Query().Get("event_id"))
	if r == nil {
		refuse(w, "M_NOT_FOUND")
		return
	}
	reply(w, map[string]any{"pdu_ids": ids(before), "auth_chain_ids": ids(r.authChain(before))})
}

func (o *origin) answerAuth(w http.ResponseWriter, request *http.Request) {
	if r := o.room(request.PathValue("room")); r != nil {
		if e, ok := r.event(ident.EventID(request.PathValue("event"))); ok {
			reply(w, map[string]any{"auth_chain": texts(r.authChain([]*event.Event{e}))})
			return
		}
	}
	refuse(w, "M_NOT_FOUND")
}

// authChain is the events that the given ones rest on, as far as we know them: ours, and those of the state that we joined with.
func (r *room) authChain(events []*event.Event) (chain []*event.Event) {
	known := map[ident.EventID]*event.Event{}
	for _, e := range r.joined {
		known[e.ID()] = e
	}
	seen := map[ident.EventID]bool{}
	for next := events; len(next) > 0; next = next[1:] {
		for _, id := range next[0].AuthEvents() {
			e := known[id]
			if ours, ok := r.event(id); ok {
				e = ours
			}
			if e != nil && !seen[id] {
				seen[id] = true
				chain = append(chain, e)
				next = append(next, e)
			}
		}
	}
	return chain
}

// answerBackfill gives what the named events follow, newest first, the named ones among them.
func (o *origin) answerBackfill(w http.ResponseWriter, request *http.Request) {
	r := o.room(request.PathValue("room"))
	if r == nil {
		refuse(w, "M_NOT_FOUND")
		return
	}
	query := request.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 0 || limit > maxBackfilled {
		limit = maxBackfilled
	}
	var found []*event.Event
	for _, id := range query["v"] {
		for _, e := range slices.Backward(r.ancestors(ident.EventID(id))) {
			if len(found) < limit && !slices.Contains(found, e) {
				found = append(found, e)
			}
		}
	}
	reply(w, o.transaction(found...))
}

// answerMissing gives the events between two sets, oldest first.
func (o *origin) answerMissing(w http.ResponseWriter, request *http.Request) {
	r := o.room(request.PathValue("room"))
	var asked struct {
		Earliest []ident.EventID `json:"earliest_events"`
		Latest   []ident.EventID `json:"latest_events"`
		Limit    int             `json:"limit"`
	}
	if r == nil || json.NewDecoder(io.LimitReader(request.Body, maxAsked)).Decode(&asked) != nil {
		refuse(w, "M_NOT_FOUND")
		return
	}
	known := map[ident.EventID]bool{}
	for _, id := range asked.Earliest {
		for _, e := range r.ancestors(id) {
			known[e.ID()] = true
		}
	}
	var found []*event.Event
	for _, id := range asked.Latest {
		known[id] = true
		for _, e := range r.ancestors(id) {
			if !known[e.ID()] {
				known[e.ID()] = true
				found = append(found, e)
			}
		}
	}
	if limit := max(0, min(asked.Limit, maxBackfilled)); len(found) > limit {
		found = found[len(found)-limit:]
	}
	reply(w, map[string]any{"events": texts(found)})
}
