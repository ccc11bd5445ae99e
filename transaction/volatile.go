// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// maxVolatile is how many EDUs that nobody keeps wait in memory for one destination; each is one for all destinations. What comes
	// beyond takes the place of the oldest. Half a transaction: more would only come late.
	maxVolatile = 50

	// maxVolatileNews is how many of them the dispatcher may be behind.
	maxVolatileNews = 1000

	// maxTypingAge and maxVolatileAge are when they are of no use any more: clients take a typing notice for half a minute.
	maxTypingAge   = 30 * time.Second
	maxVolatileAge = time.Hour
)

// ErrPrivateReceipt: a receipt that is not m.read was to be sent. Such receipts are for the user's own server alone; send none.
var ErrPrivateReceipt = errors.New("private read receipt")

// Volatile is an EDU that is of use only now: typing, presence, a receipt.
type Volatile struct {
	Type    string
	Key     string // what it is about; of one type and key the latest replaces those that are not sent yet
	Content []byte // canonical JSON
}

// volatile is one that waits. It never changes, and destinations share it.
type volatile struct {
	Volatile
	edu    []byte
	queued time.Time
}

// until is when it is of no use any more.
func (v *volatile) until() time.Time {
	if v.Type == eduTyping {
		return v.queued.Add(maxTypingAge)
	}
	return v.queued.Add(maxVolatileAge)
}

// EnqueueVolatile queues an EDU in memory. It goes out with what else there is, behind it, or alone; it holds up nothing, and is
// removed when it has become part of a transaction, which is kept until it is answered. A restart forgets what is queued.
// The error is ErrPrivateReceipt, or about Content.
func (o *Outbox) EnqueueVolatile(edu Volatile, servers []ident.ServerName) error {
	if err := checkReceipt(edu); err != nil {
		return fmt.Errorf("queue %s: %w", edu.Type, err)
	}
	v := &volatile{Volatile: edu, queued: time.Now()}
	v.edu = append(append(append(v.edu, `{"content":`...), edu.Content...), `,"edu_type":`...)
	v.edu = append(canonicaljson.AppendString(v.edu, edu.Type), '}')
	if !o.mail.volatile(v, servers) {
		o.trace.Emit(trace.TransactionEDUDropped{Type: edu.Type, Destinations: len(servers)})
	}
	return nil
}

// checkReceipt refuses receipts that must not leave this server.
func checkReceipt(edu Volatile) error {
	if edu.Type != eduReceipt {
		return nil
	}
	var rooms map[string]map[string]json.RawMessage
	if err := json.Unmarshal(edu.Content, &rooms); err != nil {
		return err
	}
	for _, receipts := range rooms {
		for kind := range receipts {
			if kind != "m.read" {
				return fmt.Errorf("%w: %s", ErrPrivateReceipt, kind)
			}
		}
	}
	return nil
}

// volatileNews is one EDU for some servers.
type volatileNews struct {
	edu     *volatile
	servers []ident.ServerName
}

// volatile puts an EDU into the mailbox, unless that is full.
func (m *mailbox) volatile(edu *volatile, servers []ident.ServerName) (taken bool) {
	m.put(func(n *news) {
		if taken = len(n.volatile) < maxVolatileNews; taken {
			n.volatile = append(n.volatile, volatileNews{edu, servers})
		}
	})
	return taken
}

// readVolatile works in news of EDUs. A destination that is backing off is not tried again for them.
func (o *Outbox) readVolatile(list []volatileNews) {
	for _, item := range list {
		for _, server := range item.servers {
			if server == o.self {
				continue
			}
			d := o.destinationOf(server)
			if dropped := d.addVolatile(item.edu); dropped != nil {
				o.trace.Emit(trace.TransactionEDUDropped{Type: dropped.Type, Destination: string(server), Destinations: 1})
			}
			switch d.phase {
			case idle:
				d.from = max(d.from, o.seen)
				o.makeReady(d)
			case dozing:
				d.from = max(d.from, o.seen)
				o.rouse(d)
			case sending:
				d.again = true
			}
		}
	}
}

// addVolatile queues an EDU in place of an older one with its key, or of the oldest when there are too many: that one is dropped.
func (d *destination) addVolatile(edu *volatile) (dropped *volatile) {
	same := slices.IndexFunc(d.volatile, func(v *volatile) bool { return v.Key == edu.Key && v.Type == edu.Type })
	switch {
	case same >= 0:
		d.volatile[same] = edu
		return nil
	case len(d.volatile) == maxVolatile:
		dropped = d.volatile[0]
		d.volatile = slices.Delete(d.volatile, 0, 1)
	}
	d.volatile = append(d.volatile, edu)
	return dropped
}

// dropVolatile forgets those that were taken, unless newer ones have their places.
func (d *destination) dropVolatile(taken []*volatile) {
	d.volatile = slices.DeleteFunc(d.volatile, func(v *volatile) bool { return slices.Contains(taken, v) })
	if len(d.volatile) == 0 {
		d.volatile = nil
	}
}

// addVolatile fills a batch up with EDUs that nobody keeps, and tells which are dealt with: those that it took, and those whose time
// is over.
func (b *batch) addVolatile(edus []*volatile, now time.Time) (done []*volatile) {
	for _, v := range edus {
		if now.Before(v.until()) && !b.take(persistence.Outbound{Kind: persistence.KindEDU, Content: v.edu}) {
			break
		}
		done = append(done, v)
	}
	return done
}

// VolatileWaiting is how many EDUs of one type that nobody keeps wait for a destination.
type VolatileWaiting struct {
	Type   string
	Items  int
	Oldest time.Time // when that one was queued
}

// Volatile tells what waits for a destination that a restart forgets, by type; what is of no use any more, it leaves out. Run must be
// running.
func (o *Outbox) Volatile(ctx context.Context, server ident.ServerName) (list []VolatileWaiting, err error) {
	err = o.order(ctx, func() {
		if d, known := o.destinations[server]; known {
			list = countVolatile(d.volatile, time.Now())
		}
	})
	return list, err
}

func countVolatile(edus []*volatile, now time.Time) (list []VolatileWaiting) {
	for _, v := range edus {
		if !now.Before(v.until()) {
			continue
		}
		n := slices.IndexFunc(list, func(w VolatileWaiting) bool { return w.Type == v.Type })
		if n < 0 {
			n = len(list)
			list = append(list, VolatileWaiting{Type: v.Type, Oldest: v.queued})
		}
		list[n].Items++
		if v.queued.Before(list[n].Oldest) {
			list[n].Oldest = v.queued
		}
	}
	slices.SortFunc(list, func(a, b VolatileWaiting) int { return cmp.Compare(a.Type, b.Type) })
	return list
}
