// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"

	"github.com/strata-matrix/strata/homeserver"
	"github.com/strata-matrix/strata/messaging"
)

// clientListener is open for clients.
type clientListener struct {
	net.Listener
	settings listener
}

// listenToClients opens the listeners for clients.
func (p *plan) listenToClients(s settings) error {
	for _, l := range s.clientListeners() {
		for _, address := range l.addresses() {
			opened, err := net.Listen("tcp", address)
			if err != nil {
				return fmt.Errorf("listen on %s for clients: %w", address, err)
			}
			p.clients = append(p.clients, clientListener{opened, l})
			at := urlOf(opened, l.TLS)
			p.clientURLs = append(p.clientURLs, at)
			if l.isForPeers() {
				p.urls = append(p.urls, at)
			}
		}
	}
	return nil
}

// door is how clients come in there.
func (p *plan) door(l listener) homeserver.Door {
	door := homeserver.Door{Forwarded: l.XForwarded, Peers: l.isForPeers()}
	if l.TLS {
		door.TLS = p.tls
	}
	return door
}

// takeClients hands the listeners over to who closes them.
func (p *plan) takeClients() []clientListener {
	taken := p.clients
	p.clients = nil
	return taken
}

// served is a server that runs.
type served struct {
	federation *messaging.Server
	home       *homeserver.Server // that it is part of; nil where there are no clients
}

// open starts the server: with listeners for clients it is a homeserver.
func (p *plan) open(ctx context.Context) (s served, err error) {
	if p.peersTLS {
		p.config.TLS = p.tls
	}
	if len(p.clients) == 0 {
		s.federation, err = messaging.Open(ctx, p.config)
		return s, err
	}
	cfg := p.home
	cfg.Messaging = p.config
	if s.home, err = homeserver.Open(ctx, cfg); err != nil {
		return s, err
	}
	s.federation = s.home.Federation()
	return s, nil
}

// ended waits until the server ends by itself, or ctx does; the error says why the server did.
func (s served) ended(ctx context.Context) error {
	done, cause := s.federation.Done(), s.federation.Err
	if s.home != nil {
		done, cause = s.home.Done(), s.home.Err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-done:
		return fmt.Errorf("the server stopped: %w", cause())
	}
}

func (s served) close() error {
	if s.home != nil {
		return s.home.Close()
	}
	return s.federation.Close()
}
