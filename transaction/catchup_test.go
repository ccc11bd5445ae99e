// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// note is an event as these tests know it.
type note struct {
	Room  ident.RoomID `json:"room"`
	N     int          `json:"n"`
	About ident.UserID `json:"about,omitempty"`
}

func (n note) text() []byte {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return text
}

// presents is the rooms of these tests: of each the newest event, and a server that has left it.
type presents struct {
	newest  map[ident.RoomID]note // written in the store's jobs, in which it is read too
	outside map[ident.RoomID]ident.ServerName
	left    map[ident.RoomID]bool // by us
}

func newPresents() *presents {
	return &presents{newest: map[ident.RoomID]note{}, outside: map[ident.RoomID]ident.ServerName{}, left: map[ident.RoomID]bool{}}
}

// newBenchOfPresents is a bench that is not started, of rooms whose present is known; so many items make a backlog, 0 for the default.
func newBenchOfPresents(t *testing.T, backlog int) (*bench, *presents) {
	b, rooms := newBench(t), newPresents()
	b.stop()
	b.rooms, b.backlog = rooms, transaction.Backlog{Items: backlog}
	return b, rooms
}

// Frontier gives the newest event, and one of another server with a number that is none.
func (p *presents) Frontier(_ *persistence.Tx, room ident.RoomID, server ident.ServerName, _ int) ([]persistence.Outbound, bool, error) {
	if p.left[room] {
		return nil, false, nil
	}
	if p.outside[room] == server {
		return nil, true, nil
	}
	var list []persistence.Outbound
	for _, n := range []note{{Room: room, N: -1}, p.newest[room]} {
		list = append(list, persistence.Outbound{Kind: persistence.KindPDU, RoomID: room, EventID: ident.EventID(fmt.Sprint("$", room, n.N)), Content: n.text()})
	}
	return list, true, nil
}

func (p *presents) About(pdu []byte) (ident.UserID, bool) {
	var n note
	return n.About, json.Unmarshal(pdu, &n) == nil && n.About != ""
}

// say queues an event.
func (b *bench) say(p *presents, n note, servers ...ident.ServerName) {
	b.t.Helper()
	err := b.store.Update(b.t.Context(), func(tx *persistence.Tx) error {
		p.newest[n.Room] = n
		return b.outbox.EnqueuePDU(tx, n.Room, ident.EventID(fmt.Sprint("$", n.Room, n.N)), n.text(), servers)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) tell(n int, servers ...ident.ServerName) {
	b.t.Helper()
	err := b.store.Update(b.t.Context(), func(tx *persistence.Tx) error {
		return b.outbox.EnqueueEDU(tx, fmt.Appendf(nil, `{"edu":%d}`, n), servers)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// logged counts the rows of the outbound log.
func (b *bench) logged() (n int) {
	b.t.Helper()
	err := b.store.View(b.t.Context(), func(tx *persistence.Tx) error {
		for after, atEnd := persistence.Position(0), false; !atEnd; {
			var err error
			if after, atEnd, err = tx.NextOutbound("away.example", after, 1000, func(persistence.Outbound) bool { n++; return true }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// outage plays a server that is away while much happens; around is run in the middle of its return.
func outage(t *testing.T, around func(b *bench)) {
	b, rooms := newBenchOfPresents(t, 50)
	var up atomic.Bool
	b.peers.answer = func(r request) (transport.Answer, error) {
		if r.to == "away.example" && !up.Load() {
			return transport.Answer{}, &transport.Failure{Class: "dial"}
		}
		return transport.Answer{Status: 200, Body: []byte(`{}`)}, nil
	}
	b.start()
	room := func(i int) ident.RoomID { return ident.RoomID(fmt.Sprintf("!r%d:us.example", i)) }
	everyone := []ident.ServerName{"away.example", "b.example"}
	b.say(rooms, note{Room: room(0), N: -2}, everyone...)
	const events, kinds = 400, 10
	time.Sleep(time.Second)
	b.say(rooms, note{Room: "!kicked:us.example", N: 1}, everyone...)
	b.say(rooms, note{Room: "!kicked:us.example", N: 2, About: "@x:away.example"}, everyone...)
	b.say(rooms, note{Room: "!kicked:us.example", N: 3, About: "@x:away.example"}, everyone...)
	rooms.outside["!kicked:us.example"] = "away.example"
	b.say(rooms, note{Room: "!kicked:us.example", N: 4}, "b.example")
	b.say(rooms, note{Room: "!left:us.example", N: 1}, everyone...)
	b.say(rooms, note{Room: "!left:us.example", N: 2, About: "@u:us.example"}, everyone...)
	rooms.left["!left:us.example"] = true
	longest := 0
	for i := range events {
		b.say(rooms, note{Room: room(i % kinds), N: i}, everyone...)
		if i%20 == 0 {
			b.tell(i/20, "away.example")
		}
		time.Sleep(time.Second)
		if i%10 == 0 {
			longest = max(longest, b.logged())
		}
	}
	if most := 50 + kinds + events/20 + 10 + 64; longest > most {
		t.Errorf("the log had up to %d rows, want at most %d", longest, most)
	}
	up.Store(true)
	around(b)
	time.Sleep(3 * time.Hour)
	checkOutage(t, b, rooms)
	b.stop()
}

func checkOutage(t *testing.T, b *bench, rooms *presents) {
	newest, edus := map[ident.RoomID]int{}, 0
	for _, r := range b.peers.answered("away.example") {
		var body struct {
			PDUs []note
			EDUs []struct{ EDU int }
		}
		if err := json.Unmarshal([]byte(r.body), &body); err != nil {
			t.Fatal(err)
		}
		for _, n := range body.PDUs {
			if last, seen := newest[n.Room]; seen && n.N <= last && n.N >= 0 {
				t.Errorf("event %d of %s came after %d", n.N, n.Room, last)
			}
			newest[n.Room] = n.N
		}
		for _, e := range body.EDUs {
			if e.EDU != edus {
				t.Errorf("EDU %d came in place of %d", e.EDU, edus)
			}
			edus++
		}
	}
	for room, want := range rooms.newest {
		if room == "!kicked:us.example" {
			want.N = 3
		}
		if newest[room] != want.N {
			t.Errorf("the last event of %s that came is %d, want %d", room, newest[room], want.N)
		}
	}
	if edus != 20 {
		t.Errorf("%d EDUs came, want 20", edus)
	}
	if n := len(pdus(t, b.peers.answered("away.example"))); n > 30 {
		t.Errorf("%d events came: that is no catching up", n)
	}
	if n := len(pdus(t, b.peers.answered("b.example"))); n != 407 {
		t.Errorf("who was there got %d events, want 407", n)
	}
}

func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { outage(t, func(*bench) {}) })
}

// Whichever commit of the return is the last one: after a restart it goes on, nothing is lost and nothing comes twice out of order.
func TestCatchUpSurvivesCrashes(t *testing.T) {
	for commits := 1; commits <= 5; commits += 2 {
		for _, point := range []persistence.Point{persistence.BeforeCommit, persistence.AfterCommit} {
			synctest.Test(t, func(t *testing.T) {
				outage(t, func(b *bench) {
					b.cancel()
					<-b.done
					b.done <- nil
					b.stop()
					left := commits
					b.commitPoint = func(p persistence.Point) error {
						if p == point {
							left--
						}
						if left < 0 || left == 0 && p == point {
							return errors.New("crash")
						}
						return nil
					}
					b.start()
					time.Sleep(2 * time.Hour)
					b.cancel()
					if err := <-b.done; err != nil && !errors.Is(err, persistence.ErrClosed) {
						t.Error(err)
					}
					_ = b.store.Close()
					b.commitPoint = nil
					b.start()
				})
			})
		}
	}
}

// What is left of the log is what somebody may still need: when everyone is back, nothing.
func TestCompactionKeepsTheLogShortForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outage(t, func(b *bench) {
			time.Sleep(2 * time.Hour)
			for i := range 200 {
				b.enqueue(10_000+i, 10_001+i, "b.example")
				time.Sleep(time.Second)
			}
			if n := b.logged(); n > 0 {
				t.Errorf("%d rows for a server that has everything", n)
			}
			// The last words of these rooms are not part of what the outage checks.
			b.peers.mu.Lock()
			b.peers.requests = slices.DeleteFunc(b.peers.requests, func(r request) bool {
				return r.to == "b.example" && strings.Contains(r.body, `{"n":10`)
			})
			b.peers.mu.Unlock()
		})
	})
}
