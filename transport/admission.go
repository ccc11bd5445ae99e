// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// party is who a request is counted for: the address that it came from until its signature is verified, then its origin. An address
// has a slash, which no server name has.
type party string

// addressParty is the party of a "host:port". A network that one customer gets is one party: a /64 of IPv6.
func addressParty(remote string) party {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return party("/" + remote) // of a network that is not the Internet
	}
	address, bits := at.Addr().Unmap().WithZone(""), 32
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.Prefix(bits) // the error is about bits
	return party(prefix.String())
}

// admission is what the requests of one Server share, and how they share it: places for requests whose origin is not proven yet, by
// address; places for those whose origin is, by origin; and memory for bodies and for replies, by either. Of its places, each origin
// has a few to work in at one time, and the rest of what it sends waits in line. Whoever finds no room is sent away with a 429 at
// once. The goroutines of all requests use it; mu guards it and is held for one step.
//
//	arrives ──► unverified[address] ──signature──► verified[origin] ──► line: works or waits ──► reply is written ──► gone
//	                 └─────────────── memory[address] ──► memory[origin] ────────────────────────────┘
type admission struct {
	atOnce, inLine int // requests of one origin
	patience       time.Duration

	mu         sync.Mutex
	unverified pool[party]
	verified   pool[party]
	memory     pool[party]
	replies    pool[party]
	lines      map[ident.ServerName]*line
	visitors   int           // requests that have not left
	empty      chan struct{} // closed when there is none; nil while nobody waits for it
}

// line is the verified requests of one origin.
type line struct {
	working int
	waiting []chan struct{} // each is closed when its turn has come
}

func newAdmission(limits ServerLimits) *admission {
	return &admission{
		atOnce: limits.OriginRequests, inLine: limits.OriginWaiting, patience: maxInLine,
		unverified: newPool[party](int64(limits.Unverified)),
		verified:   newPool[party](int64(limits.Requests)),
		memory:     newPool[party](limits.Memory),
		replies:    newPool[party](limits.Memory),
		lines:      make(map[ident.ServerName]*line),
	}
}

// visit is what one request holds. It belongs to the request's goroutine.
type visit struct {
	*admission
	party  party
	origin ident.ServerName // once it has been introduced
	bytes  int64            // of the body
	reply  int64            // bytes of the reply
	atWork bool             // it has one of its origin's turns
	proven bool             // it has a place among the verified
}

// enter lets a request in whose origin is not known. leave must be called, also after an error.
func (a *admission) enter(remote string) (*visit, error) {
	v := &visit{admission: a, party: addressParty(remote)}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.visitors++
	if !a.unverified.take(v.party, 1) {
		v.party = ""
		return v, errBusy("too many requests")
	}
	return v, nil
}

// reserve sets memory aside.
func (v *visit) reserve(bytes int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.memory.take(v.party, bytes) {
		return errBusy("too many bytes of requests at one time")
	}
	v.bytes += bytes
	return nil
}

// hold sets memory aside for the reply, which exists already: if its party has no room for it, it is thrown away. Each party may
// have one reply of any size, or the state of a large room could not be had.
func (v *visit) hold(bytes int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.replies.held[v.party] == 0 {
		v.replies.charge(v.party, bytes)
	} else if !v.replies.take(v.party, bytes) {
		return errBusy("too many bytes of replies at one time")
	}
	v.reply = bytes
	return nil
}

// isCrowded reports whether a request of the origin would be sent away. It may be asked before the origin is proven: the answer depends
// only on requests whose origin was.
func (a *admission) isCrowded(origin ident.ServerName) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lines[origin]
	return l != nil && l.working >= a.atOnce && len(l.waiting) >= a.inLine
}

// introduce counts the request for its proven origin, and waits until it is its turn.
func (v *visit) introduce(ctx context.Context, origin ident.ServerName) error {
	turn, err := v.queue(origin)
	if turn == nil || err != nil {
		return err
	}
	patience := time.NewTimer(v.patience)
	defer patience.Stop()
	select {
	case <-turn:
		v.atWork = true
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	l := v.lines[origin]
	if place := slices.Index(l.waiting, turn); place >= 0 {
		l.waiting = slices.Delete(l.waiting, place, place+1)
	} else {
		v.atWork = true // its turn came just now: leave passes it on
	}
	return errBusy("the requests of your server take too long")
}

// queue moves the request over to its origin. turn is what to wait for, nil when it may work at once.
func (v *visit) queue(origin ident.ServerName) (turn chan struct{}, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	l := v.lines[origin]
	if l != nil && l.working >= v.atOnce && len(l.waiting) >= v.inLine {
		return nil, errBusy("too many requests of your server at one time")
	}
	if !v.moveTo(party(origin)) {
		return nil, errBusy("too many requests of your server for how many there are of others")
	}
	v.origin = origin
	if l == nil {
		l = &line{}
		v.lines[origin] = l
	}
	if l.working < v.atOnce {
		l.working++
		v.atWork = true
		return nil, nil
	}
	turn = make(chan struct{})
	l.waiting = append(l.waiting, turn)
	return turn, nil
}

// moveTo counts for another party, among the verified, what the request holds.
func (v *visit) moveTo(to party) bool {
	if !v.verified.take(to, 1) {
		return false
	}
	v.memory.give(v.party, v.bytes)
	if !v.memory.take(to, v.bytes) {
		v.memory.charge(v.party, v.bytes)
		v.verified.give(to, 1)
		return false
	}
	v.unverified.give(v.party, 1)
	v.party, v.proven = to, true
	return true
}

// finish ends the request's turn: its reply, which the peer may be slow to take, needs none.
func (v *visit) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.passOn()
}

// passOn gives the turn to the first in line.
func (v *visit) passOn() {
	if !v.atWork {
		return
	}
	v.atWork = false
	l := v.lines[v.origin]
	switch {
	case len(l.waiting) > 0:
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	case l.working > 1:
		l.working--
	default:
		delete(v.lines, v.origin)
	}
}

// leave gives back all that the request holds.
func (v *visit) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.passOn()
	switch {
	case v.proven:
		v.verified.give(v.party, 1)
	case v.party != "":
		v.unverified.give(v.party, 1)
	}
	v.memory.give(v.party, v.bytes)
	v.replies.give(v.party, v.reply)
	if v.visitors--; v.visitors == 0 && v.empty != nil {
		close(v.empty)
		v.empty = nil
	}
}

// emptied is closed when no request is left.
func (a *admission) emptied() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.visitors == 0 {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	if a.empty == nil {
		a.empty = make(chan struct{})
	}
	return a.empty
}
