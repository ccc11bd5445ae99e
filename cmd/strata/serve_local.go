// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/strata-matrix/strata/internal/adminapi"
	"github.com/strata-matrix/strata/internal/metrics"
)

// localListener is open for operators and their tools, at an address that other servers are not meant to reach.
type localListener struct {
	net.Listener
	settings listener
}

// listenLocally opens the listeners for operators.
func (p *plan) listenLocally(s settings) error {
	for _, l := range s.localListeners() {
		for _, address := range l.addresses() {
			opened, err := net.Listen("tcp", address)
			if err != nil {
				return fmt.Errorf("listen on %s for operators: %w", address, err)
			}
			p.local = append(p.local, localListener{opened, l})
		}
	}
	return nil
}

// takeLocal hands the listeners over to who closes them.
func (p *plan) takeLocal() []localListener {
	taken := p.local
	p.local = nil
	return taken
}

// localHandler answers what a listener's resources are.
func (p *plan) localHandler(l localListener, served served) (http.Handler, error) {
	server := served.federation
	mux := http.NewServeMux()
	for _, path := range []string{"/health", "/healthz", "/readyz"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") })
	}
	if l.settings.offers(resourceMetrics) && p.metrics != nil {
		mux.Handle("GET /metrics", p.metrics.Handler(p.look(served)))
	}
	if l.settings.offers(resourceAdmin) {
		api, err := adminapi.NewHandler(adminapi.Config{
			ServerName: server.Name(), Version: p.config.Version, Token: p.adminToken, Store: server.Store(), Outbox: server.Outbox(),
		})
		if err != nil {
			return nil, err
		}
		mux.Handle("/", api)
	}
	return mux, nil
}

// look finds out how things are, the certificate and what clients wait for included.
func (p *plan) look(served served) metrics.Look {
	look := metrics.LookAt(served.federation, filepath.Join(p.config.DataDir, "strata.db"))
	return func(ctx context.Context) (metrics.Standing, error) {
		standing, err := look(ctx)
		if p.certificate != nil {
			standing.CertificateExpiry = p.certificate.Expiry()
		}
		if served.home != nil {
			standing.Syncs = served.home.Syncs()
		}
		return standing, err
	}
}

// localTime bounds each part of a request of an operator's tool.
const localTime = 30 * time.Second

// serveLocal answers operators until ctx ends. Requests under way are cut off then: nothing hangs on them.
func (p *plan) serveLocal(ctx context.Context, listener localListener, served served) error {
	defer listener.Close()
	handler, err := p.localHandler(listener, served)
	if err != nil {
		return err
	}
	web := &http.Server{
		Handler: handler, ReadTimeout: localTime, WriteTimeout: localTime, IdleTimeout: 2 * localTime, MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = web.Close() })
	defer stop()
	if err := web.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("answer operators on %s: %w", listener.Addr(), err)
	}
	return nil
}
