// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// linked is a Strata in this process, linked as a homeserver's core links it: what the command has no words for is asked of it
// directly. It keeps what it is told of its users' invitations and knocks.
type linked struct {
	server *messaging.Server

	mu        sync.Mutex
	standings map[ident.RoomID]messaging.Standing // the last of each room
}

func startLinked(t *testing.T, dir string, ca *CA) *linked {
	t.Helper()
	l := &linked{standings: map[ident.RoomID]messaging.Standing{}}
	l.server = link(t, dir, ca, func(*messaging.Server) (messaging.Core, error) { return messaging.Core{Invites: l}, nil })
	return l
}

// link opens a server in this process, with what a homeserver's core has to do with it.
func link(t *testing.T, dir string, ca *CA, core func(*messaging.Server) (messaging.Core, error)) *messaging.Server {
	t.Helper()
	s, config := linkedSite(t, dir, ca)
	config.Core = core
	server, err := messaging.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	serveLinked(t, server, map[int]serving{s.FederationPort: server.Serve})
	return server
}

// linkedSite is a site for a server in this process, and how such a server federates there.
func linkedSite(t *testing.T, dir string, ca *CA) (site, messaging.Config) {
	t.Helper()
	s, err := newSite(dir, ca)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(s.Certificate, s.CertificateKey)
	if err != nil {
		t.Fatal(err)
	}
	return s, messaging.Config{
		ServerName: s.Name, DataDir: filepath.Join(dir, "data"), TLS: &tls.Config{Certificates: []tls.Certificate{certificate}},
		Network: transport.NetworkConfig{AllowPrivate: true, Trust: transport.Trust{Roots: ca.Pool}}, Version: "linked",
	}
}

type serving func(context.Context, net.Listener) error

// serveLinked has a server of this process answer at loopback ports until the test ends, and closes it then.
func serveLinked(t *testing.T, server io.Closer, at map[int]serving) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, len(at))
	for port, serve := range at {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- serve(ctx, listener) }()
	}
	t.Cleanup(func() {
		cancel()
		var faults []error
		for range at {
			faults = append(faults, <-ended)
		}
		if err := errors.Join(append(faults, server.Close())...); err != nil {
			t.Error(err)
		}
	})
}

// MayInvite implements messaging.Invites.
func (l *linked) MayInvite(context.Context, ident.UserID, ident.UserID, ident.RoomID) error {
	return nil
}

// Changed implements messaging.Invites.
func (l *linked) Changed(tx *persistence.Tx, s messaging.Standing) error {
	tx.AfterCommit(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.standings[s.Room] = s
	})
	return nil
}

// awaitStanding waits until a user of ours stands so to a room that the server is not in.
func (l *linked) awaitStanding(ctx context.Context, room, membership string) (messaging.Standing, error) {
	for {
		l.mu.Lock()
		s := l.standings[ident.RoomID(room)]
		l.mu.Unlock()
		if s.Membership == membership {
			return s, nil
		}
		if err := rest(ctx); err != nil {
			return s, fmt.Errorf("the user is %q, not %q: %w", s.Membership, membership, err)
		}
	}
}

// awaitMember waits until a room that the server is in says so of a user.
func (l *linked) awaitMember(ctx context.Context, room, user, membership string) error {
	slot := event.StateKey{Type: "m.room.member", Key: user}
	for {
		now := ""
		found, err := l.server.Engine().StateEvent(ctx, ident.RoomID(room), slot)
		if err == nil && found != nil {
			m, _ := found.Membership()
			now = m.Membership
		}
		if now == membership {
			return nil
		}
		if err := rest(ctx); err != nil {
			return fmt.Errorf("%s is %q, not %q: %w", user, now, membership, err)
		}
	}
}

func rest(ctx context.Context) error {
	select {
	case <-time.After(readyPoll):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// duo is a Strata that is linked, and a Synapse.
type duo struct {
	strata  *linked
	synapse *Peer
	host    []ident.ServerName // the Synapse, as a server to ask
}

func newDuo(t *testing.T) *duo {
	t.Helper()
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	synapse := StartSynapse(t, filepath.Join(dir, "synapse"), ca).(*Peer)
	return &duo{startLinked(t, filepath.Join(dir, "strata"), ca), synapse, []ident.ServerName{ident.ServerName(synapse.Name)}}
}

// alice is a user of the Strata.
func (d *duo) alice() ident.UserID { return ident.UserID("@alice:" + string(d.strata.server.Name())) }
