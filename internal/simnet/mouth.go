// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	forgedTimeout = 30 * time.Second
	dripEvery     = time.Second // between two pieces of an answer that never ends
	dripSize      = 1 << 10
	lots          = 2_000 // events in an answer that was to have a few
)

// endless is a reply whose writer can leave open: the network then goes on with it for as long as somebody reads.
type endless interface{ neverEnd() }

// answer records what a handler writes.
type answer struct {
	*httptest.ResponseRecorder
	open bool
}

func (a *answer) neverEnd() { a.open = true }

// drip is a body that never ends, though it comes slowly. It ends with the request that it answers.
type drip struct{ done <-chan struct{} }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(dripEvery):
	case <-d.done:
		return 0, errReset
	}
	n := min(len(p), dripSize)
	for i := range p[:n] {
		p[i] = ' ' // which JSON allows anywhere
	}
	return n, nil
}

func (drip) Close() error { return nil }

// around is the liar's mouth: what others ask for about rooms goes through it, the rest to the honest server behind it.
func (l *liar) around(honest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.EscapedPath(), "/_matrix/federation/v2/send_join/") {
			l.bend(w, r, "send_join", honest)
			return
		}
		rest, about := strings.CutPrefix(r.URL.EscapedPath(), "/_matrix/federation/v1/")
		what, arg, _ := strings.Cut(rest, "/")
		switch what {
		case "event", "state", "state_ids", "get_missing_events", "backfill", "event_auth":
		default:
			about = false
		}
		if !about {
			honest.ServeHTTP(w, r)
			return
		}
		arg, err := url.PathUnescape(arg)
		if err != nil || !l.answer(w, r, what, arg) {
			l.bend(w, r, what, honest)
		}
	})
}

// answer gives an answer that has nothing to do with what the honest server would say, if it is to.
func (l *liar) answer(w http.ResponseWriter, r *http.Request, what, arg string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	made := l.made[ident.EventID(arg)]
	switch {
	case l.lies["never ends"]:
		w.WriteHeader(http.StatusOK)
		w.(endless).neverEnd()
	case l.lies["answers garbage"]:
		_, _ = io.WriteString(w, garbage[l.rand.IntN(len(garbage))]) // a recorder takes everything
	case l.lies["withholds"] && l.rand.IntN(2) == 0:
		_, _ = io.WriteString(w, nothing[what])
	case l.lies["withholds"]:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errcode":"M_NOT_FOUND","error":"no such event"}`)
	case what == "event" && made != nil:
		_, _ = fmt.Fprintf(w, `{"origin":%q,"origin_server_ts":1,"pdus":[%s]}`, l.node.name, made.JSON())
	case l.lies["lies about state"] && (what == "state" || what == "state_ids") && l.made[ident.EventID(r.URL.Query().Get("event_id"))] != nil:
		l.ofMade(w, what)
	default:
		return false
	}
	return true
}

// garbage is answers that are none, or have the wrong things in the right places.
var garbage = []string{
	``, `{`, `[]`, `null`, "\x00\xff", `{"pdus":{}}`, `{"pdus":[1,null,"x",{}],"auth_chain":7}`, `{"events":[[]],"pdus":[[]]}`,
	`{"pdu_ids":[1,2],"auth_chain_ids":null}`, `{"pdu_ids":["x","","$"],"auth_chain_ids":["$a"]}`, `{"pdus":"x","events":"x"}`,
	`{"events":[{"type":"m.room.create"}],"pdus":[{"room_id":"!x"}],"auth_chain":[{}],"pdu_ids":[],"auth_chain_ids":[]}`,
	`{"pdus":[],"pdus":[]}`, `{"a":` + strings.Repeat("[", 5_000), `<html>`,
}

// nothing is the empty answer to each question.
var nothing = map[string]string{
	"event": `{"pdus":[]}`, "backfill": `{"pdus":[]}`, "get_missing_events": `{"events":[]}`, "event_auth": `{"auth_chain":[]}`,
	"state": `{"pdus":[],"auth_chain":[]}`, "state_ids": `{"pdu_ids":[],"auth_chain_ids":[]}`,
}

// bend has the honest server answer, and changes what it says.
func (l *liar) bend(w http.ResponseWriter, r *http.Request, what string, honest http.Handler) {
	recorder := httptest.NewRecorder()
	honest.ServeHTTP(recorder, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	body := recorder.Body.Bytes()
	var members map[string][]json.RawMessage
	if recorder.Code == http.StatusOK {
		var all map[string]json.RawMessage
		if json.Unmarshal(body, &all) == nil {
			members = lists(all)
			l.bendLists(what, members)
			for name, list := range members {
				all[name], _ = json.Marshal(list) // raw JSON in, raw JSON out
			}
			body, _ = json.Marshal(all)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(body) // a recorder takes everything
}

func lists(all map[string]json.RawMessage) map[string][]json.RawMessage {
	members := map[string][]json.RawMessage{}
	for name, value := range all {
		var list []json.RawMessage
		if json.Unmarshal(value, &list) == nil {
			members[name] = list
		}
	}
	return members
}

func (l *liar) bendLists(what string, members map[string][]json.RawMessage) {
	if l.lies["lies about state"] && what == "state" {
		members["pdus"] = l.bentState(members["pdus"])
	}
	if l.lies["lies about state"] && what == "send_join" {
		members["state"] = l.bentState(members["state"])
	}
	if l.lies["lies about state"] && what == "state_ids" {
		members["pdu_ids"] = l.bentIDs(members["pdu_ids"])
	}
	for _, name := range []string{"pdus", "events", "auth_chain"} {
		if _, has := members[name]; !has {
			continue
		}
		if l.lies["answers with forks"] {
			for _, e := range l.inOrder() {
				members[name] = append(members[name], e.JSON())
			}
		}
		for n := 0; l.lies["answers with lots"] && n < lots; n++ {
			members[name] = append(members[name], json.RawMessage(fmt.Sprintf(`{"room_id":%q,"n":%d}`, l.node.world.Room(), n)))
		}
	}
}

// bentState is a state without bans, with the power levels of the oldest view, and with a member that was made up.
func (l *liar) bentState(state []json.RawMessage) (bent []json.RawMessage) {
	for _, text := range state {
		var e struct {
			Type    string
			Content struct{ Membership string }
		}
		if json.Unmarshal(text, &e) != nil || e.Content.Membership == "ban" || e.Type == "m.room.power_levels" {
			continue
		}
		bent = append(bent, text)
	}
	for _, e := range l.additions() {
		bent = append(bent, e.JSON())
	}
	return bent
}

// bentIDs is bentState of ids: an id does not say what it is of, so those of the present bans and power levels are left out.
func (l *liar) bentIDs(ids []json.RawMessage) (bent []json.RawMessage) {
	omit := map[string]bool{}
	for i := range l.views {
		for slot, e := range l.views[i].state {
			member, _ := e.Membership()
			if member.Membership == "ban" || slot.Type == "m.room.power_levels" {
				omit[fmt.Sprintf("%q", e.ID())] = true
			}
		}
	}
	for _, id := range ids {
		if !omit[string(id)] {
			bent = append(bent, id)
		}
	}
	for _, e := range l.additions() {
		bent = append(bent, json.RawMessage(fmt.Sprintf("%q", e.ID())))
	}
	return bent
}

// additions is what a lying state has on top: the oldest power levels and all members that were made up.
func (l *liar) additions() (list []*event.Event) {
	if len(l.views) > 0 {
		if levels := l.views[0].state[event.StateKey{Type: "m.room.power_levels"}]; levels != nil {
			list = append(list, levels)
		}
	}
	for _, e := range l.inOrder() {
		if _, isState := e.StateKey(); isState {
			list = append(list, e)
		}
	}
	return list
}

// ofMade answers for the state before an event of its own making, which the server behind does not know: that of the newest
// view, bent.
func (l *liar) ofMade(w http.ResponseWriter, what string) {
	if len(l.views) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var texts, ids []json.RawMessage
	for _, e := range l.views[len(l.views)-1].state {
		texts, ids = append(texts, e.JSON()), append(ids, json.RawMessage(fmt.Sprintf("%q", e.ID())))
	}
	body := map[string]any{"pdus": l.bentState(texts), "auth_chain": texts}
	if what == "state_ids" {
		body = map[string]any{"pdu_ids": l.bentIDs(ids), "auth_chain_ids": ids}
	}
	_ = json.NewEncoder(w).Encode(body) // a recorder takes everything
}
