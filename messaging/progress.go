// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// JoinStep is how far a join over another server has come.
type JoinStep string

// The steps, in their order. With the next candidate they begin anew.
const (
	JoinAsks     JoinStep = "asks"     // for a template
	JoinWaits    JoinStep = "waits"    // for the state of the room: minutes, for a large one
	JoinVerifies JoinStep = "verifies" // what has come, and stores it
)

// JoinProgress is a join over other servers that is under way.
type JoinProgress struct {
	Room   ident.RoomID
	User   ident.UserID
	Via    ident.ServerName // that is being asked, "" before the first
	Step   JoinStep
	Events int       // of state and auth chain that have come
	Tried  int       // servers, the one that is being asked included
	Began  time.Time // the join
	Since  time.Time // the step
}

// Joins are the joins over other servers that are under way, the oldest first.
func (s *Server) Joins() []JoinProgress {
	return s.progress.all()
}

// progress is how far each room's join has come: a room has one at a time. mu guards joins.
type progress struct {
	mu    sync.Mutex
	joins map[ident.RoomID]*JoinProgress
}

func (p *progress) begin(h handshake) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.joins[h.room] = &JoinProgress{Room: h.room, User: h.user, Began: now, Since: now}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.joins, h.room)
	}
}

func (p *progress) all() []JoinProgress {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]JoinProgress, 0, len(p.joins))
	for _, j := range p.joins {
		list = append(list, *j)
	}
	slices.SortFunc(list, func(a, b JoinProgress) int {
		if c := a.Began.Compare(b.Began); c != 0 {
			return c
		}
		return strings.Compare(string(a.Room), string(b.Room))
	})
	return list
}

// takeStep notes and traces the next step of a join.
func (s *Server) takeStep(h handshake, via ident.ServerName, step JoinStep, events int) {
	s.progress.mu.Lock()
	if j := s.progress.joins[h.room]; j != nil {
		if step == JoinAsks {
			j.Tried++
		}
		j.Via, j.Step, j.Events, j.Since = via, step, events, time.Now()
	}
	s.progress.mu.Unlock()
	s.trace.Emit(trace.MessagingJoinStep{Room: string(h.room), User: string(h.user), Via: string(via), Step: string(step), Events: events})
}
