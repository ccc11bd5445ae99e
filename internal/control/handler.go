// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// handler answers questions about one store, and orders when there is a server. It is immutable.
type handler struct {
	look    *inspect.Inspector
	server  *messaging.Server // nil for a file without a server
	watch   *Watch            // nil for a server that is not watched
	version string
}

// NewHandler answers everything that can be asked of a running server, of which watch sees the trace. version is that of the software.
func NewHandler(server *messaging.Server, watch *Watch, version string) http.Handler {
	return (&handler{look: inspect.New(server.Store()), server: server, watch: watch, version: version}).routes()
}

// NewFileHandler answers questions about the file of a stopped server. Orders are refused.
func NewFileHandler(store *persistence.Store) http.Handler {
	return (&handler{look: inspect.New(store)}).routes()
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/health", "/healthz", "/readyz"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &Error{Kind: Usage, Message: fmt.Sprintf("%s %s is no operation of this server", r.Method, r.URL.Path)})
	})
	answer(mux, opInfo, h.info)
	answer(mux, opStatus, h.status)
	answer(mux, opCreateRoom, h.createRoom)
	answer(mux, opJoin, h.join)
	answer(mux, opJoins, h.joins)
	answer(mux, opLeave, h.leave)
	answer(mux, opSend, h.send)
	answer(mux, opRedact, h.redact)
	answer(mux, opAlarms, h.look.Alarms)
	answer(mux, opRefused, h.look.Refused)
	answer(mux, opBackfill, h.backfill)
	answer(mux, opCompare, h.compare)
	answer(mux, opFetch, h.fetch)
	answer(mux, opKeyHistory, h.keyHistory)
	answer(mux, opFetchKeys, h.fetchKeys)
	answer(mux, opAskNotary, h.askNotary)
	answer(mux, opDoctor, h.doctor)
	answer(mux, opPing, h.ping)
	answer(mux, opRaw, h.raw)
	answer(mux, opOwnKeys, h.ownKeys)
	answer(mux, opRotateKeys, h.rotateKeys)
	answer(mux, opRooms, func(ctx context.Context, _ struct{}) ([]inspect.Room, error) { return h.look.Rooms(ctx) })
	answer(mux, opRoom, func(ctx context.Context, q ShowRoom) (inspect.RoomDetail, error) {
		return h.look.Room(ctx, q.RoomID, q.State)
	})
	answer(mux, opTimeline, h.look.Timeline)
	answer(mux, opState, h.look.State)
	answer(mux, opGraph, h.look.Graph)
	answer(mux, opHeads, func(ctx context.Context, q RoomRef) ([]inspect.Head, error) { return h.look.Heads(ctx, q.RoomID) })
	answer(mux, opGaps, func(ctx context.Context, q RoomRef) (inspect.Gaps, error) { return h.look.Gaps(ctx, q.RoomID, q.Limit) })
	answer(mux, opEvent, h.event)
	answer(mux, opExplain, func(ctx context.Context, q EventRef) (inspect.Explanation, error) {
		return h.look.Explain(ctx, q.EventID)
	})
	answer(mux, opJudge, h.judge)
	answer(mux, opResolve, h.resolve)
	answer(mux, opDocuments, h.documents)
	answer(mux, opFlushDocuments, h.flushDocuments)
	answer(mux, opRecords, h.records)
	answer(mux, opFlushRecords, h.flushRecords)
	h.routeQueues(mux)
	h.routePeers(mux)
	h.routeTransactions(mux)
	answer(mux, opJourney, func(ctx context.Context, q EventRef) (inspect.Journey, error) { return h.look.Journey(ctx, q.EventID) })
	return mux
}

// answer makes an operation reachable.
func answer[Q, A any](mux *http.ServeMux, op operation[Q, A], do func(context.Context, Q) (A, error)) {
	mux.HandleFunc("POST "+prefix+op.name, func(w http.ResponseWriter, r *http.Request) {
		var question Q
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&question); err != nil && !errors.Is(err, io.EOF) { // no body: the zero question
			fail(w, usage(fmt.Errorf("question of %s: %w", op.name, err)))
			return
		}
		a, err := do(r.Context(), question)
		if err != nil {
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, a)
	})
}

func fail(w http.ResponseWriter, err error) {
	e := Explain(err)
	reply(w, statuses[e.Kind], struct {
		Error *Error `json:"error"`
	}{e})
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // the client is gone, or sees that the answer is cut short
}

func (h *handler) info(context.Context, struct{}) (Info, error) {
	info := Info{ServerName: h.look.ServerName()}
	if h.server != nil {
		info.Version, info.PID = h.version, os.Getpid()
	}
	return info, nil
}

// event waits, if it is asked to, until the event is judged: each accepted event of the server is a reason to look again, and
// so is the passing of time, as events that are not accepted are no news.
func (h *handler) event(ctx context.Context, q GetEvent) (inspect.Event, error) {
	if q.Wait < 0 || q.Wait > maxWait.Milliseconds() {
		return inspect.Event{}, usage(fmt.Errorf("wait of %d ms: at most %s", q.Wait, maxWait))
	}
	over := time.NewTimer(time.Duration(q.Wait) * time.Millisecond)
	defer over.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		var news <-chan struct{}
		if h.server != nil {
			news = h.server.Engine().News()
		}
		e, err := h.look.Event(ctx, q.EventID)
		judged := err == nil && e.Outcome != pdu.Staged.String() && e.Outcome != pdu.Quarantined.String()
		if q.Wait == 0 || judged || err != nil && !errors.Is(err, inspect.ErrNotFound) {
			return e, err
		}
		select {
		case <-news:
		case <-again.C:
		case <-over.C:
			q.Wait = 0 // one last look
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
}

// errNoServer is for orders about a mere file.
var errNoServer = &Error{Kind: Usage, Message: "a file cannot act: this needs the running server, leave out --db"}

// user completes a localpart. A full id is taken as it is.
func (h *handler) user(name string) (ident.UserID, error) {
	if h.server == nil {
		return "", errNoServer
	}
	if name == "" {
		return "", usage(errors.New("no user given"))
	}
	if !strings.HasPrefix(name, "@") {
		name = "@" + name + ":" + string(h.server.Name())
	}
	user, err := ident.ParseUserID(name)
	if err != nil {
		return "", usage(err)
	}
	return user, nil
}

// newcomer is user for one who may not have been seen before: the grammar of new ids is narrower.
func (h *handler) newcomer(name string) (ident.UserID, error) {
	user, err := h.user(name)
	if err != nil {
		return "", err
	}
	if _, err := ident.ParseNewUserID(string(user)); err != nil {
		return "", usage(err)
	}
	return user, nil
}

// userAndRoom reads what most orders name.
func (h *handler) userAndRoom(name, room string) (ident.UserID, ident.RoomID, error) {
	user, err := h.user(name)
	if err != nil {
		return "", "", err
	}
	id, err := ident.ParseRoomID(room)
	if err != nil {
		return "", "", usage(err)
	}
	return user, id, nil
}

func (h *handler) createRoom(ctx context.Context, order CreateRoom) (Room, error) {
	user, err := h.newcomer(order.Creator)
	if err != nil {
		return Room{}, err
	}
	if order.Version == "" {
		order.Version = messaging.DefaultRoomVersion
	}
	if _, known := event.VersionOf(order.Version); !known {
		return Room{}, usage(fmt.Errorf("room version %q is not one of %s", order.Version, strings.Join(event.Versions(), ", ")))
	}
	id, err := h.server.CreateRoom(ctx, messaging.CreateRoom{
		Creator: user, Version: order.Version, Public: order.Public, LocalOnly: order.LocalOnly,
		Name: order.Name, Topic: order.Topic,
	})
	return Room{RoomID: string(id), Version: order.Version, User: string(user)}, err
}

func (h *handler) join(ctx context.Context, order Membership) (Room, error) {
	user, id, via, err := h.membership(order)
	if err != nil {
		return Room{}, err
	}
	if _, err := h.newcomer(order.User); err != nil {
		return Room{}, err
	}
	if err := h.server.Join(ctx, user, id, via); err != nil {
		return Room{}, err
	}
	return Room{RoomID: string(id), User: string(user)}, nil
}

func (h *handler) leave(ctx context.Context, order Membership) (Room, error) {
	user, id, via, err := h.membership(order)
	if err != nil {
		return Room{}, err
	}
	if err := h.server.Leave(ctx, user, id, via...); err != nil {
		return Room{}, err
	}
	return Room{RoomID: string(id), User: string(user)}, nil
}

func (h *handler) membership(order Membership) (user ident.UserID, id ident.RoomID, via []ident.ServerName, err error) {
	if user, id, err = h.userAndRoom(order.User, order.Room); err != nil {
		return "", "", nil, err
	}
	for _, name := range order.Via {
		server, err := ident.ParseServerName(name)
		if err != nil {
			return "", "", nil, usage(err)
		}
		via = append(via, server)
	}
	return user, id, via, nil
}

func (h *handler) send(ctx context.Context, order Send) (sent Sent, err error) {
	user, id, err := h.userAndRoom(order.User, order.Room)
	if err != nil {
		return Sent{}, err
	}
	if order.Type == "" {
		return Sent{}, usage(errors.New("no event type given"))
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(order.Content, &object); err != nil || object == nil {
		return Sent{}, usage(errors.New("content is not a JSON object"))
	}
	var eventID ident.EventID
	if order.StateKey != nil {
		eventID, err = h.server.SendState(ctx, id, user, order.Type, *order.StateKey, order.Content)
	} else {
		eventID, err = h.server.Send(ctx, id, user, order.Type, order.Content)
	}
	return Sent{RoomID: string(id), EventID: string(eventID), User: string(user)}, err
}

func (h *handler) redact(ctx context.Context, order Redact) (Sent, error) {
	user, id, err := h.userAndRoom(order.User, order.Room)
	if err != nil {
		return Sent{}, err
	}
	target, err := ident.ParseEventID(order.Event)
	if err != nil {
		return Sent{}, usage(err)
	}
	eventID, err := h.server.Redact(ctx, id, user, target, order.Reason)
	return Sent{RoomID: string(id), EventID: string(eventID), User: string(user)}, err
}

func (h *handler) judge(ctx context.Context, q EventRef) (inspect.Explanation, error) {
	if h.server == nil {
		return inspect.Explanation{}, errNoServer
	}
	id, err := ident.ParseEventID(q.EventID)
	if err != nil {
		return inspect.Explanation{}, usage(err)
	}
	engine := h.server.Engine()
	judge := engine.JudgeAgain
	if before, _, err := engine.Verdict(ctx, id); err != nil {
		return inspect.Explanation{}, err
	} else if before.Decisive().ID == "P-30" {
		judge = engine.AskPolicy // only the policy server's signature can change it
	}
	if _, err := judge(ctx, id); err != nil {
		return inspect.Explanation{}, err
	}
	return h.look.Explain(ctx, q.EventID)
}
