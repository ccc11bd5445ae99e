// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

var errCrash = errors.New("the simulation killed the process")

// maxPause is the longest that a server stays down after a crash.
const maxPause = 90 * time.Second

// retryPolicy is impatient, so that a run is not mostly waiting.
var retryPolicy = transaction.RetryPolicy{
	First: 2 * time.Second, Max: time.Minute, Factor: 2, Jitter: 0.3, Contact: time.Second, AttemptTimeout: 30 * time.Second,
	Concurrent: 16,
}

// backlog is so short that whoever is away for a while is given the present of the room when it is back.
var backlog = transaction.Backlog{Items: 20, Age: time.Hour}

// node is one server over all of its lives, on one file. Its keeper's goroutine opens and closes the server; others find it
// under mu.
type node struct {
	world   *World
	name    ident.ServerName
	user    ident.UserID
	dir     string
	key     signing.Key // the first; see keyFile for what came after
	journal *Journal
	liar    *liar   // nil: it is honest
	police  *police // nil: it is no policy server
	stock   bool    // it does not know how to be pulled from
	purged  bool    // it gives no events of the past
	ended   chan struct{}

	mu     sync.Mutex
	life   *Life
	lives  int
	server *messaging.Server // nil while it is down
	up     chan struct{}     // closed while it is up
	stop   chan bool         // of this life: true to stay down
	away   time.Duration     // how much longer the next pause is
	crash  *crash            // planned
}

// crash is a plan to kill a server at one of its next commits.
type crash struct {
	point   persistence.Point
	commits int // of those points to go
}

func newNode(w *World, letter string) (*node, error) {
	name := letter + ".example"
	material := make([]byte, 32)
	copy(material, name)
	key, err := signing.NewKey("ed25519:1", material)
	if err != nil {
		return nil, err
	}
	n := &node{
		world: w, name: ident.ServerName(name), user: userOf(letter), dir: w.dir(), key: key,
		journal: &Journal{rand: w.Seed.Stream("callbacks", name)},
		ended:   make(chan struct{}), up: make(chan struct{}),
	}
	if err := signing.CreatePrivateFile(n.keyFile(), []byte(key.Line()+"\n")); err != nil {
		return nil, err
	}
	if letter == w.Script.Police {
		if n.police, err = newPolice(n); err != nil {
			return nil, err
		}
	}
	n.stock, n.purged = slices.Contains(w.Script.Stock, letter), slices.Contains(w.Script.Purged, letter)
	if slices.Contains(w.Script.Liars, letter) {
		w.Net.Distrust(name)
		n.liar = newLiar(n)
	}
	return n, nil
}

// keep keeps the server running until it is told to stay down.
func (n *node) keep() {
	defer close(n.ended)
	pause := n.world.Seed.Stream("pauses", string(n.name))
	for n.live() {
		time.Sleep(time.Duration(pause.Float64()*float64(maxPause)) + n.takeAway())
	}
}

// live is one life, from opening to closing. It reports whether there is another.
func (n *node) live() (again bool) {
	life := &Life{}
	n.mu.Lock()
	n.lives++
	number := n.lives
	n.life = life
	n.mu.Unlock()
	cfg := messaging.Config{
		ServerName: string(n.name), DataDir: n.dir, KeyPath: n.keyFile(), Retry: retryPolicy, Backlog: backlog,
		Trace: trace.SinkFunc(func(e trace.Event) { n.note(life, e) }), RoundTripper: n.world.Net.From(string(n.name), life),
		Jitter: transport.Jitter(n.world.Seed.Stream("jitter", string(n.name), strconv.Itoa(number)).Uint64()),
		Core:   n.core, Annex: deviceTables,
		HistoryAhead: 20, NoSync: true, CommitPoint: func(p persistence.Point) error { return n.atCommit(life, p) },
	}
	server, err := messaging.Open(context.Background(), cfg)
	if life.ended.Load() {
		return true // killed while it was opening
	}
	if err != nil {
		n.world.fault("%s could not be opened: %v", n.name, err)
		return false
	}
	return n.run(number, life, server)
}

func (n *node) run(number int, life *Life, server *messaging.Server) (again bool) {
	n.world.Timeline.Add(string(n.name), "UP, life %d", number)
	subscribed := make(chan error, 1)
	go func() {
		subscribed <- server.Subscribe(context.Background(), "journal", func(_ context.Context, d messaging.Delivery) error {
			if life.ended.Load() {
				return errCrash
			}
			return n.journal.take(number, d)
		})
	}()
	handler := server.Handler()
	if n.liar != nil {
		handler = n.liar.around(handler)
	}
	if n.police != nil {
		handler = n.police.around(handler)
	}
	if n.stock {
		handler = withoutPull(handler)
	}
	if n.purged {
		handler = withoutPast(handler)
	}
	n.world.Net.Attach(string(n.name), life, handler)
	stop := make(chan bool, 1)
	n.mu.Lock()
	n.server, n.stop = server, stop
	close(n.up)
	n.mu.Unlock()
	stay := false
	select {
	case <-server.Done():
		if !life.ended.Load() {
			n.world.fault("%s ended by itself: %v", n.name, server.Err())
		}
	case stay = <-stop:
	}
	n.mu.Lock()
	n.server, n.up = nil, make(chan struct{})
	n.mu.Unlock()
	if err := server.Close(); err != nil {
		n.world.fault("%s: close: %v", n.name, err)
	}
	life.End()
	if err := <-subscribed; !errors.Is(err, messaging.ErrClosed) && !errors.Is(err, persistence.ErrClosed) {
		n.world.fault("%s: subscription ended with %v", n.name, err)
	}
	n.world.Timeline.Add(string(n.name), "DOWN")
	return !stay
}

// atCommit runs on the store's goroutine.
func (n *node) atCommit(life *Life, p persistence.Point) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.crash == nil || n.crash.point != p || life.ended.Load() {
		return nil
	}
	if n.crash.commits--; n.crash.commits > 0 {
		return nil
	}
	n.crash = nil
	life.End()
	n.world.Timeline.Add(string(n.name), "CRASH at %s", pointName(p))
	return errCrash
}

func pointName(p persistence.Point) string {
	if p == persistence.BeforeCommit {
		return "before commit"
	}
	return "after commit"
}

// planCrash has the server killed at the point of the commits-th commit from now; nil takes a plan back.
func (n *node) planCrash(c *crash) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.crash = c
}

// close ends the present life in an orderly way; with stay it is the last.
func (n *node) close(stay bool) {
	n.await()
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case n.stop <- stay:
	default: // it is being closed
	}
}

// await gives the server, as soon as it is up.
func (n *node) await() *messaging.Server {
	for {
		n.mu.Lock()
		server, up := n.server, n.up
		n.mu.Unlock()
		if server != nil {
			return server
		}
		select {
		case <-up:
		case <-n.ended:
			return nil
		}
	}
}

// dying reports whether an error comes from the end of the server's life.
func dying(err error) bool {
	return errors.Is(err, messaging.ErrClosed) || errors.Is(err, persistence.ErrClosed)
}

// note puts what the layers emit on the timeline, and takes note of what must not happen.
func (n *node) note(life *Life, e trace.Event) {
	switch e := e.(type) {
	case trace.StorePanic, trace.TransportPanic, trace.StoreCommitFailed, trace.KeysStoreFailed:
		if !life.ended.Load() {
			n.world.fault("%s: %s: %+v", n.name, e.Kind(), e)
		}
	case trace.PDURoomFailed:
		if !life.ended.Load() {
			n.world.fault("%s: work on %s failed: %v", n.name, e.Room, e.Err)
		}
	case trace.TransportSent, trace.StoreCommit:
		return // the network tells the one better; of the other there are too many
	}
	n.world.Timeline.Add(string(n.name), "%s", fmt.Sprintf("%s %+v", e.Kind(), e))
}
