// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// Open starts a server: what it was doing when it last ended, it goes on with. ctx covers the opening only. A faulty
// configuration is reported with all its faults. The server must be closed.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	self, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	cfg.Trace = trace.OrDiscard(cfg.Trace)
	alive, end := context.WithCancelCause(context.Background())
	s := &Server{
		self: self, tls: cfg.TLS, trace: cfg.Trace, alive: alive, end: end,
		joining:    turns{taken: map[ident.RoomID]chan struct{}{}},
		progress:   progress{joins: map[ident.RoomID]*JoinProgress{}},
		awaiting:   awaiting{of: map[ident.ServerName]int{}},
		subscribed: map[string]bool{},
	}
	if err := s.build(ctx, cfg); err != nil {
		_ = s.Close() // the first error tells more
		return nil, fmt.Errorf("open server %s: %w", self, err)
	}
	return s, nil
}

// build makes the layers from the ground up, each complete before the next, and then sets them going. What it leaves in
// s.closers undoes it.
func (s *Server) build(ctx context.Context, cfg Config) (err error) {
	if err := cfg.prepareDir(); err != nil {
		return err
	}
	own, err := cfg.ownKeys(s.self)
	if err != nil {
		return err
	}
	s.store, err = persistence.Open(ctx, persistence.Options{
		Path: filepath.Join(cfg.DataDir, storeFile), ServerName: string(s.self),
		Annex: cfg.Annex, NoSync: cfg.NoSync, CommitPoint: cfg.CommitPoint, Trace: trace.Tee(cfg.Trace, trace.SinkFunc(s.watchStore)),
	})
	if err != nil {
		return err
	}
	s.atClose(s.store.Close)
	if err := s.connect(cfg); err != nil {
		return err
	}
	s.policy = cfg.Servers.Adjustable()
	s.client = transport.NewClient(transport.ClientConfig{
		ServerName: s.self, Key: own, Network: s.network, RoundTripper: cfg.RoundTripper, Servers: s.policy, Loopback: cfg.Loopback,
		UserAgent: userAgent(cfg.Version), Limits: cfg.ClientLimits, Trace: cfg.Trace,
	})
	ring := keys.NewRing(keys.RingConfig{
		Own: own, Store: s.store, Fetch: s.client, Trusted: cfg.TrustedKeyServers, Timeout: cfg.KeysTimeout, Trace: cfg.Trace,
	})
	s.atClose(func() error { ring.Close(); return nil })
	jitter := cmp.Or(cfg.Jitter, transport.NewJitter())
	outbox, err := transaction.NewOutbox(transaction.OutboxConfig{
		Self: s.self, Store: s.store, Sender: s.client, Rooms: pdu.Frontiers{}, Policy: cfg.Retry, Backlog: cfg.Backlog, Jitter: jitter, Trace: cfg.Trace,
	})
	if err != nil {
		return err
	}
	s.own, s.ring, s.outbox = own, ring, outbox
	s.asked = transport.NewCircuit(s.client, jitter, cfg.Retry.Max) // apart from the outbox's own back-off
	s.fetcher = newDeviceFetcher(s, jitter)
	s.engine, err = pdu.NewEngine(pdu.EngineConfig{
		Self: s.self, Key: own, Store: s.store, Keys: ring, Client: s.asked, Outbox: outbox, Trace: cfg.Trace,
		HistoryAhead: cfg.HistoryAhead, Jitter: jitter,
	})
	if err != nil {
		return err
	}
	if cfg.Core != nil {
		if s.core, err = cfg.Core(s); err != nil {
			return fmt.Errorf("core: %w", err)
		}
	}
	inbox := transaction.NewInbox(transaction.InboxConfig{
		Self: s.self, Store: s.store, PDUs: retractions{s}, EDUs: s.eduHandlers(), Rooms: s.engine, Trace: cfg.Trace,
		Heard: func(server ident.ServerName) { outbox.Heard(server); s.asked.Heard(server) },
	})
	s.http, err = transport.NewServer(transport.ServerConfig{
		ServerName: s.self, Keys: ring, Routes: slices.Concat(inbox.Routes(), outbox.Routes(), s.engine.Routes(), s.routes()),
		Servers: s.policy, Version: cfg.Version, Limits: cfg.ServerLimits, Trace: cfg.Trace,
	})
	if err != nil {
		return err
	}
	s.driveAll(inbox)
	s.atClose(func() error { s.calls.shut(); return nil })
	return nil
}

// driveAll sets the loops of all layers going.
func (s *Server) driveAll(inbox *transaction.Inbox) {
	s.drive("outbox", s.outbox.Run)
	s.drive("engine", s.engine.Run)
	s.drive("puller", transaction.NewPuller(transaction.PullerConfig{
		Self: s.self, Store: s.store, Sender: s.client, Inbox: inbox, Trace: s.trace,
	}).Run)
	if s.core.DeviceLists != nil {
		s.drive("device lists", s.fetcher.run)
	}
	if s.core.Devices != nil {
		s.drive("introductions", func(ctx context.Context) error { return s.subscribe(ctx, introductions, s.introduce) })
	}
	s.drive("retention", transaction.NewRetention(s.store, s.trace).Run)
}

// connect makes the way to other servers, unless a simulation has its own.
func (s *Server) connect(cfg Config) (err error) {
	if cfg.RoundTripper != nil {
		return nil
	}
	network := cfg.Network
	network.UserAgent, network.Limits, network.Trace = userAgent(cfg.Version), cfg.ClientLimits, cfg.Trace
	if s.network, err = transport.NewNetwork(network); err != nil {
		return err
	}
	s.atClose(func() error { s.network.Close(); return nil })
	return nil
}

func userAgent(version string) string {
	if version == "" {
		return "Strata"
	}
	return "Strata/" + version
}

// atClose registers what Close does, last first.
func (s *Server) atClose(f func() error) { s.closers = append(s.closers, f) }

// drive runs a layer's loop until Close. A loop that gives up ends the server, unless it is for the end of the store: that ends the
// server itself, and knows the cause (see watchStore).
func (s *Server) drive(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil && !errors.Is(err, persistence.ErrClosed) {
			s.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
	s.atClose(func() error {
		cancel()
		<-ended
		return nil
	})
}

// watchStore ends the server when its store's goroutine ends; nothing can be done without it.
func (s *Server) watchStore(e trace.Event) {
	if closed, ok := e.(trace.StoreClosed); ok {
		s.fail(closed.Cause)
	}
}

// fail ends the server for a reason, if it has not ended.
func (s *Server) fail(cause error) {
	if s.alive.Err() == nil {
		s.trace.Emit(trace.MessagingStopped{Error: cause.Error()})
	}
	s.end(cause)
}
