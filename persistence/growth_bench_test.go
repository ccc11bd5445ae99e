// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// What the engine writes in the growing file: in each group as many events as a transaction has at most, one in ten of them a
// state event, whose change of a room of ten thousand members is so many nodes of such a size.
const (
	growthGroup      = 50
	growthStateEvery = 10
	growthNodes      = 5
	growthNodeSize   = 560 // bytes
)

// BenchmarkGrowth is the processor time to take in, judge and settle an event while the file grows: rows, indexes, citations,
// state nodes, staging, the room's head, an item of the outbound log for some. The ratios are to the window around the
// 1,000th event. STRATA_GROWTH sets the number of events; 1000000 takes a few minutes and 2 GiB in the temporary directory.
func BenchmarkGrowth(b *testing.B) {
	size := 20_000
	if text := os.Getenv("STRATA_GROWTH"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for range b.N {
		grow(b, size)
	}
	b.ReportMetric(0, "ns/op")
}

func grow(b *testing.B, size int) {
	path := filepath.Join(b.TempDir(), "strata.db")
	s := newStore(b, Options{Path: path, NoSync: true})
	g := &growth{store: s}
	update(b, s, func(tx *Tx) (err error) {
		g.room.ID, g.room.Version, g.room.Membership = "!r:a.example", "10", RoomJoined
		g.room.NID, err = tx.PutRoom(g.room)
		return err
	})
	g.run(b, 500) // up to the first window
	var first float64
	for _, at := range []int{1_000, 10_000, 100_000, 300_000, 1_000_000} {
		if at > size {
			break
		}
		window := min(10_000, max(1_000, at/10)) // spans several checkpoints where there are any
		g.run(b, at-window/2-g.events)
		spent, longest := g.run(b, window)
		per := float64(spent.Nanoseconds()) / 1e3 / float64(window)
		if first == 0 {
			first = per
		}
		b.ReportMetric(per, fmt.Sprintf("cpu-µs/event@%d", at))
		b.ReportMetric(per/first, fmt.Sprintf("ratio@%d", at))
		b.ReportMetric(float64(longest.Microseconds())/1e3, fmt.Sprintf("longest-ms@%d", at))
	}
	g.run(b, size-g.events)
	var bytes int64
	update(b, s, func(tx *Tx) error {
		pages, err := tx.Pages()
		bytes = pages * pageSize
		return err
	})
	b.ReportMetric(float64(bytes)/float64(g.events)-benchRow, "extra-B/event")
	b.ReportMetric(float64(memory(b)), "RSS-MiB")
}

// growth is the engine's part.
type growth struct {
	store  *Store
	room   Room
	events int
	state  [sha256.Size]byte
}

// run adds events and gives the processor time that the store took for them, and the longest that a caller waited.
func (g *growth) run(b *testing.B, events int) (spent, longest time.Duration) {
	for done := 0; done < events; done += growthGroup {
		group := g.group()
		began, cpu := time.Now(), processorTime(b)
		g.take(b, group)
		spent += processorTime(b) - cpu
		longest = max(longest, time.Since(began))
	}
	return spent, longest
}

func numbered(kind string, n int) [sha256.Size]byte {
	return sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(kind), uint64(n)))
}

// group is the next events; none of them is like another.
func (g *growth) group() []Event {
	group := make([]Event, growthGroup)
	for i := range group {
		hash := numbered("event", g.events)
		g.events++
		json := make([]byte, benchRow)
		copy(json, hash[:])
		group[i] = Event{
			RoomNID: g.room.NID, ID: ident.EventID("$" + base64.RawURLEncoding.EncodeToString(hash[:])), TS: int64(1e12 + 1000*g.events),
			JSON: json,
		}
	}
	return group
}

// take stages a group in one job and settles it in another, as the engine does.
func (g *growth) take(b *testing.B, group []Event) {
	err := g.store.View(context.Background(), func(tx *Tx) error {
		for _, e := range group {
			if _, _, _, found, err := tx.EventExists(e.ID); err != nil || found {
				return fmt.Errorf("look for a new event: found %t, %w", found, err)
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	update(b, g.store, func(tx *Tx) error {
		staged := make([]Staging, len(group))
		for i := range group {
			nid, _, err := tx.AddEvent(group[i])
			if err != nil {
				return err
			}
			group[i].NID = nid
			staged[i] = Staging{Event: nid, Room: g.room.NID, Origin: "b.example", Arrival: 1, ReceivedAt: group[i].TS}
		}
		return tx.Stage(staged...)
	})
	update(b, g.store, func(tx *Tx) error { return g.settle(tx, group) })
}

func (g *growth) settle(tx *Tx, group []Event) (err error) {
	for _, e := range group {
		before := g.state
		isState := e.NID%growthStateEvery == 0
		if isState {
			if err := g.change(tx, e.NID); err != nil {
				return err
			}
		}
		e.Outcome, e.Before, e.After = OutcomeAccepted, before[:], g.state[:]
		if e.Position, err = tx.NextPosition(); err != nil {
			return err
		}
		if err := tx.SettleEvent(e); err != nil {
			return err
		}
		if err := tx.Unstage(e.NID, false); err != nil {
			return err
		}
	}
	last := group[len(group)-1]
	if _, err := tx.Enqueue(Outbound{Kind: KindPDU, RoomID: g.room.ID, EventID: last.ID, Content: last.JSON}, []ident.ServerName{"b.example"}); err != nil {
		return err
	}
	if _, err := tx.TrimOutbound(tx.LastPosition(), 10); err != nil {
		return err
	}
	g.room.State, g.room.Extremities = g.state[:], []int64{last.NID}
	_, err = tx.PutRoom(g.room)
	return err
}

// change writes the nodes of a state event's state, and what it rests on: three events of the room's beginning, and the sender's
// membership.
func (g *growth) change(tx *Tx, nid int64) error {
	for i := range growthNodes {
		g.state = numbered("node", int(nid)*growthNodes+i)
		if err := tx.AddStateNode(g.state[:], slices.Repeat(g.state[:], growthNodeSize/len(g.state))); err != nil {
			return err
		}
	}
	return tx.Cite(nid, []int64{1, 2, 3, 1 + nid*7919%(nid/2+1)})
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// memory is the most memory that the process has had, in MiB.
func memory(b *testing.B) int64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Maxrss / 1024
}
