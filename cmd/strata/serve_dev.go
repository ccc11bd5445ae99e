// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// devCADir is where a trial's authority lies in its data directory, and devCAFile its certificate.
	devCADir  = "ca"
	devCAFile = "ca.crt"

	devRetryFirst = time.Second
	devRetryMax   = 10 * time.Second
)

// develop makes of the settings those of a trial on this machine. What was said explicitly stays; the rest is chosen so that
// nothing has to be said. A data directory keeps its server name, and with it its port, from one run to the next.
func (c *serveCmd) develop(ctx context.Context, s *settings, p *plan) error {
	s.AllowPrivateAddresses, s.EnableRegistration = true, true
	p.config.Retry = transaction.DefaultRetryPolicy()
	p.config.Retry.First, p.config.Retry.Max, p.config.Retry.Contact = devRetryFirst, devRetryMax, devRetryFirst
	if s.ServerName == "" {
		known, err := nameInStore(ctx, filepath.Join(s.DataDir, "strata.db"))
		if err != nil {
			return err
		}
		s.ServerName = known
	}
	if err := c.certify(s, p); err != nil {
		return err
	}
	port, err := devPort(s)
	if err != nil {
		return err
	}
	if len(s.reached()) == 0 {
		if port, err = p.listenOnLoopback(port); err != nil {
			return err
		}
	}
	if s.ServerName == "" {
		s.ServerName = net.JoinHostPort("localhost", strconv.Itoa(port))
	}
	return nil
}

// reached are the listeners at which the servers of a trial come in: over TLS, unless it was said otherwise of one for servers alone.
func (s *settings) reached() []listener {
	return slices.DeleteFunc(s.configured(), func(l listener) bool { return l.isForClients() && !l.TLS })
}

// certify has a local authority vouch for this server, unless it was given a certificate.
func (c *serveCmd) certify(s *settings, p *plan) error {
	if len(s.reached()) > 0 && !s.speaksTLS() || s.TLSCertificatePath != "" || s.TLSPrivateKeyPath != "" || len(s.ACME.Domains) > 0 {
		return nil
	}
	dir := c.DevCA
	if dir == "" {
		dir = filepath.Join(s.DataDir, devCADir)
	}
	ca, err := transport.OpenLocalCA(dir)
	if err != nil {
		return err
	}
	var hosts []string
	if name, err := ident.ParseServerName(s.ServerName); err == nil {
		host, _ := ident.SplitServerName(name)
		hosts = append(hosts, host)
	}
	p.localCA = absolute(filepath.Join(dir, devCAFile))
	p.tls, err = ca.ServerTLS(hosts...)
	return err
}

// nameInStore is the server name of a data directory that was used before, "" of a new one.
func nameInStore(ctx context.Context, path string) (string, error) {
	store, err := persistence.Open(ctx, persistence.Options{Path: path, ReadOnly: true})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case errors.Is(err, persistence.ErrOlderSchema), errors.Is(err, persistence.ErrForeignFile):
		return "", usage("%s cannot tell its server's name, give --server-name: %v", path, err)
	case err != nil:
		return "", err
	}
	return store.ServerName(), store.Close()
}

// devPort is the port that the settings or the server name lead to, 0 for any.
func devPort(s *settings) (int, error) {
	if given := s.reached(); len(given) > 0 {
		return int(given[0].Port), nil
	}
	if s.ServerName == "" {
		return 0, nil
	}
	name, err := ident.ParseServerName(s.ServerName)
	if err != nil {
		return 0, usage("server name: %v", err)
	}
	_, port := ident.SplitServerName(name)
	if port == "" {
		return federationPort, nil
	}
	return strconv.Atoi(port)
}

// listenOnLoopback takes 127.0.0.1, and [::1] where this machine has it and the port is free there: "localhost" means both.
func (p *plan) listenOnLoopback(port int) (int, error) {
	if err := p.listenOn(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), true); err != nil {
		if isInUse(err) {
			return 0, fmt.Errorf("%w: this data directory is bound to that port by its server name; end what uses it, or choose another --data-dir", err)
		}
		return 0, err
	}
	port = p.listeners[0].Addr().(*net.TCPAddr).Port
	_ = p.listenOn(net.JoinHostPort("::1", strconv.Itoa(port)), true) // who cannot be reached there is asked at 127.0.0.1
	return port, nil
}

func isInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
