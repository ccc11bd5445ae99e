// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// batch is what one turn has read and decided and has not stored yet: later events of the turn are judged on top of earlier
// ones. It belongs to the goroutine that has the room's turn.
type batch struct {
	e   *Engine
	ctx context.Context // of the engine: a turn serves many callers
	now time.Time
	id  ident.RoomID

	head room  // as it will be; head.nid is 0 while the room is not stored
	was  *room // as it is stored; nil for a new room

	loaded map[ident.EventID]*record // read, and not changed
	fresh  map[ident.EventID]*record // added or changed; the batch's own until the commit
	order  []*record                 // fresh, in the order of the changes
	nodes  map[state.Root]state.Node // written
	cites  map[ident.EventID][]ident.EventID

	settled  map[ident.EventID]judged                // verdicts to store
	waits    map[ident.EventID][]persistence.Missing // quarantined events
	unstaged []unstaging
	onGiven  ident.EventID          // the event that is being placed on a state that was given
	untold   []untold               // what such a state says of our own users
	copies   []int64                // of events, by the numbers under which they are kept, that have been made use of
	restored map[ident.EventID]bool // events that are whole now
	gaveUp   map[ident.EventID]bool // quarantined events that are given up, true for those that are forgotten
	opened   []persistence.Gap
	gapAt    map[ident.EventID]bool // gaps, as far as they were looked up
	closed   []ident.EventID
	counted  state.Root                // the current state that head.servers is of
	fetched  map[ident.EventID]bool    // staged events that nobody sent to us
	moved    map[ident.ServerName]bool // servers whose number of members has changed
	housed   map[ident.UserID]bool     // users of ours who have joined, true, or are joined no more
	recounts bool                      // housed holds all
	sends    []sending
	with     []func(*persistence.Tx) error // to be stored with own events, see Draft.Kept
	effects  []effect                      // of redactions
	unsigned []question                    // staged events that wait for the policy server
	answers  map[ident.EventID]answer      // what it has answered
	policy   policyAt
	from     came                    // how events came that were not staged and have no verdict
	origin   numbered                // the last of those servers, while the batch is stored
	told     []told                  // positions that were given out
	broken   error                   // a failure half-way through a change: nothing of the batch may be stored
	forget   bool                    // what is staged was read as of another room version, or is of no use any more
	adopted  bool                    // the room was joined: what waited for that can be judged
	lookBack bool                    // there is history to fetch
	passed   []string                // checks that the event that is being judged has passed before
	kept     bool                    // what was to be judged again has been
	asked    map[ident.EventID]int64 // events to be judged again, with the time in ms

	steps    map[ident.EventID]step // of the events that get their positions
	recorded state.Root             // the last state that has a position

	resolved  map[[sha256.Size]byte]state.Root // resolutions, by their inputs
	rejudged  bool                             // an event's rejection was taken back, or the like: no resolution from before counts
	alarm     *Alarm                           // the worst of the turn, nil for none
	unwatched bool                             // the head is built anew from history, in which old alarms would ring again
}

// judged is a verdict with whether it is kept even when it is plain acceptance.
type judged struct {
	verdict Verdict
	waited  bool
}

// came is who handed events over and how.
type came struct {
	origin ident.ServerName
	how    Arrival
}

// unstaging is a staged event that has its verdict.
type unstaging struct {
	nid    int64
	waited bool // it may have been quarantined
}

// sending is an event for other servers.
type sending struct {
	event *event.Event
	to    []ident.ServerName
}

func (e *Engine) newBatch(ctx context.Context, id ident.RoomID) (*batch, error) {
	b := &batch{
		e: e, ctx: ctx, now: time.Now(), id: id,
		loaded: map[ident.EventID]*record{}, fresh: map[ident.EventID]*record{}, nodes: map[state.Root]state.Node{},
		cites: map[ident.EventID][]ident.EventID{}, settled: map[ident.EventID]judged{},
		waits: map[ident.EventID][]persistence.Missing{}, moved: map[ident.ServerName]bool{}, housed: map[ident.UserID]bool{},
		fetched: map[ident.EventID]bool{}, resolved: map[[sha256.Size]byte]state.Root{}, gaveUp: map[ident.EventID]bool{}, answers: map[ident.EventID]answer{},
		restored: map[ident.EventID]bool{}, gapAt: map[ident.EventID]bool{}, steps: map[ident.EventID]step{},
	}
	was, err := e.readHead(ctx, id, true)
	if err != nil {
		return nil, err
	}
	b.head.id = id
	if b.was = was; was != nil {
		b.head, b.counted, b.recorded = *was, was.current, was.current
	}
	return b, nil
}

// record finds an event, nil when it is not stored.
func (b *batch) record(id ident.EventID) (*record, error) {
	if r, ok := b.have(id); ok {
		return r, nil
	}
	if err := b.load([]ident.EventID{id}); err != nil {
		return nil, err
	}
	r, _ := b.have(id)
	return r, nil
}

// stored finds an event that must be stored.
func (b *batch) stored(id ident.EventID) (*record, error) {
	r, err := b.record(id)
	if err == nil && r == nil {
		err = fmt.Errorf("event %s: %w", id, ErrUnknownEvent)
	}
	return r, err
}

// have finds an event that was read or made before; nil and true says that it is not stored.
func (b *batch) have(id ident.EventID) (*record, bool) {
	if r, ok := b.fresh[id]; ok {
		return r, true
	}
	r, ok := b.loaded[id]
	return r, ok
}

// load reads events that are not at hand in few jobs.
func (b *batch) load(ids []ident.EventID) error {
	var missing []ident.EventID
	for _, id := range ids {
		if _, ok := b.have(id); ok {
			continue
		}
		r, ok := b.e.cache.record(id)
		if b.loaded[id] = r; !ok {
			missing = append(missing, id)
		}
	}
	found, err := b.e.readRecords(b.ctx, missing)
	if err != nil {
		return err
	}
	for _, r := range found {
		b.loaded[r.event.ID()] = r
	}
	ofOthers := func(r *record) bool { return r.room != b.head.nid } // another's turn may change it meanwhile
	b.e.cache.putRecords(slices.DeleteFunc(found, ofOthers)...)
	return nil
}

// change gives a copy of a record that the batch may write to until the commit.
func (b *batch) change(r *record) *record {
	id := r.event.ID()
	if own, ok := b.fresh[id]; ok {
		return own
	}
	own := *r
	b.fresh[id] = &own
	b.order = append(b.order, &own)
	return &own
}

// cite notes which events a state event rests on, for resolutions before and after the commit.
func (b *batch) cite(r *record) {
	if _, isState := r.event.Slot(); !isState {
		return
	}
	for _, id := range r.event.AuthEvents() {
		b.cites[id] = append(b.cites[id], r.event.ID())
	}
}

// Node implements state.Nodes over what the batch wrote and what is stored.
func (b *batch) Node(hash state.Root) (state.Node, error) {
	if n, ok := b.nodes[hash]; ok {
		return n, nil
	}
	return b.e.readNode(b.ctx, hash)
}

func (b *batch) addNodes(nodes []state.Node) {
	for _, n := range nodes {
		b.nodes[n.Hash] = n
	}
}

// source is the batch as state resolution sees it.
type source struct{ *batch }

// Event implements resolve.Source.
func (s source) Event(id ident.EventID) (*event.Event, error) {
	r, err := s.stored(id)
	if err != nil {
		return nil, err
	}
	return r.event, nil
}

// Rejected implements resolve.Source.
func (s source) Rejected(id ident.EventID) bool {
	r, err := s.record(id)
	return err == nil && r != nil && r.outcome == Rejected
}

// Citing implements resolve.Source.
func (s source) Citing(id ident.EventID) iter.Seq2[ident.EventID, error] {
	return func(yield func(ident.EventID, error) bool) {
		for _, citing := range slices.Backward(s.cites[id]) {
			if !yield(citing, nil) {
				return
			}
		}
		for before := int64(0); ; {
			nids, ids, err := s.e.readCiting(s.ctx, id, before)
			if err != nil {
				yield("", err)
				return
			}
			for i, citing := range ids {
				before = nids[i]
				if !yield(citing, nil) {
					return
				}
			}
			if len(ids) < citingPage {
				return
			}
		}
	}
}
