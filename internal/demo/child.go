// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	journalFile  = "deliveries.jsonl"
	subscription = "demo"
	listedSent   = 100_000                // transactions; more than a demo can send within its time
	drainTime    = 100 * time.Millisecond // nothing is under way any more when a server is stopped
)

// quickRetry is impatient, so that nobody has to wait for the demo: a server that failed is tried again after a quarter of a
// second, and then every second.
func quickRetry() transaction.RetryPolicy {
	p := transaction.DefaultRetryPolicy()
	p.First, p.Max, p.Contact = 250*time.Millisecond, time.Second, 10*time.Millisecond
	p.AttemptTimeout = 5 * time.Second
	return p
}

// Serve is one of the demo's servers: what Options.Child must run, with its own standard streams. It obeys the demo on in, answers
// on out, and writes everything that happens to log. It returns nil when in ends, and ignores the interrupt key, which is meant for
// the demo.
func Serve(ctx context.Context, in io.Reader, out, log io.Writer) error {
	signal.Ignore(os.Interrupt)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := json.NewDecoder(in)
	var s setup
	if err := lines.Decode(&s); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	orders := make(chan order)
	go func() {
		defer cancel() // the demo is gone, whatever we are about
		defer close(orders)
		for {
			var o order
			if lines.Decode(&o) != nil {
				return
			}
			select {
			case orders <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	c := &child{setup: s, user: userOf(s.Name), out: json.NewEncoder(out), log: slog.New(slog.NewJSONHandler(log, nil))}
	err := c.run(ctx, orders)
	if err != nil {
		c.log.Error("ended", "error", err)
	}
	return err
}

// userOf is the one user of a server.
func userOf(server ident.ServerName) ident.UserID { return ident.UserID("@user:" + string(server)) }

// child is a server in its own process. Its orders are worked off by one goroutine, its deliveries by another; mu guards out.
type child struct {
	setup  setup
	user   ident.UserID
	log    *slog.Logger
	server *messaging.Server

	mu  sync.Mutex
	out *json.Encoder
}

func (c *child) say(r report) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Encode(r)
}

// run opens the server, tells that it is there, and obeys until orders is closed or the server fails.
func (c *child) run(ctx context.Context, orders <-chan order) (err error) {
	deliveries, err := openJournal(filepath.Join(c.setup.Dir, journalFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, deliveries.close()) }()
	listener, err := c.open(ctx)
	if ctx.Err() != nil {
		err = nil // told to end before it had begun
	}
	if err != nil || c.server == nil {
		return err
	}
	defer func() { err = errors.Join(err, c.server.Close()) }()
	ended := make(chan error, 2)
	go func() { ended <- c.server.Serve(ctx, listener) }()
	go func() {
		ended <- c.server.Subscribe(ctx, subscription, func(_ context.Context, d messaging.Delivery) error {
			if err := deliveries.record(entry{d.Position, d.Event.ID()}); err != nil {
				return err
			}
			return c.say(report{Delivered: d.Event.ID()})
		})
	}()
	if err := c.say(report{Reply: true}); err != nil {
		return err
	}
	for {
		select {
		case err := <-ended:
			return err
		case o, ok := <-orders:
			if !ok {
				return nil
			}
			if err := c.say(c.obey(ctx, o)); err != nil {
				return err
			}
		}
	}
}

// open starts the server and takes its port.
func (c *child) open(ctx context.Context) (net.Listener, error) {
	authority, err := transport.OpenLocalCA(c.setup.Authority)
	if err != nil {
		return nil, err
	}
	host, _ := ident.SplitServerName(c.setup.Name)
	tls, err := authority.ServerTLS(host)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", string(c.setup.Name))
	if err != nil {
		return nil, err
	}
	c.server, err = messaging.Open(ctx, messaging.Config{
		ServerName: string(c.setup.Name), DataDir: c.setup.Dir, TLS: tls,
		Network: transport.NetworkConfig{AllowPrivate: true, Trust: transport.Trust{Roots: authority.Pool()}},
		Version: "demo", Retry: quickRetry(), ServerLimits: transport.ServerLimits{DrainTime: drainTime},
		Trace: trace.SinkFunc(c.watch),
	})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// watch logs what happens, and tells the demo which servers cannot be reached.
func (c *child) watch(e trace.Event) {
	c.log.Info(e.Kind(), "event", e)
	if attempt, ok := e.(trace.TransactionAttempted); ok && attempt.Class != "ok" {
		_ = c.say(report{Failed: ident.ServerName(attempt.Destination)}) // if the demo is gone, so are we soon
	}
}

// obey carries an order out.
func (c *child) obey(ctx context.Context, o order) report {
	r := report{Reply: true}
	var err error
	switch o.Task {
	case taskCreate:
		r.Room, err = c.server.CreateRoom(ctx, messaging.CreateRoom{
			Creator: c.user, Version: c.setup.RoomVersion, Name: "Demo", Topic: o.Text, Public: true,
		})
	case taskJoin:
		err = c.server.Join(ctx, c.user, o.Room, []ident.ServerName{o.Via})
		if err == nil {
			r.Event, err = c.ownJoin(ctx, o.Room)
		}
	case taskSay:
		message := map[string]string{"msgtype": "m.text", "body": o.Text}
		r.Event, err = c.server.Send(ctx, o.Room, c.user, "m.room.message", message)
	case taskTopic:
		r.Event, err = c.server.SendState(ctx, o.Room, c.user, "m.room.topic", "", map[string]string{"topic": o.Text})
	case taskState:
		r.State, err = c.state(ctx, o.Room)
	case taskSent:
		r.Sent, err = c.sent(ctx)
	default:
		err = fmt.Errorf("unknown task %q", o.Task)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// ownJoin is the event by which our user is in the room.
func (c *child) ownJoin(ctx context.Context, room ident.RoomID) (ident.EventID, error) {
	join, err := c.server.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(c.user)})
	if err != nil {
		return "", err
	}
	if join == nil {
		return "", errors.New("joined, and yet not a member")
	}
	return join.ID(), nil
}

func (c *child) state(ctx context.Context, room ident.RoomID) (map[string]ident.EventID, error) {
	events, err := c.server.Engine().State(ctx, room)
	state := make(map[string]ident.EventID, len(events))
	for _, e := range events {
		key, _ := e.StateKey()
		state[e.Type()+"|"+key] = e.ID()
	}
	return state, err
}

// sent lists what the store keeps about transactions, as the inspector would.
func (c *child) sent(ctx context.Context) (list []Transaction, err error) {
	err = c.server.Store().View(ctx, func(tx *persistence.Tx) error {
		list = nil
		rows, err := tx.SentTransactions("", 0, listedSent)
		if err != nil {
			return err
		}
		for _, row := range rows {
			t := Transaction{
				From: c.setup.Name, To: row.Destination, ID: row.TxnID, PDUs: row.PDUs,
				FrozenAt: row.FrozenAt, EndedAt: row.EndedAt, Attempts: row.Attempts,
			}
			attempts, err := tx.Attempts(row)
			if err != nil {
				return err
			}
			if len(attempts) > 0 {
				t.FirstClass, t.LastMessage = attempts[0].Class, row.Last.Message
			}
			list = append(list, t)
		}
		return nil
	})
	return list, err
}
