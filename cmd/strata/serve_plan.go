// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/homeserver"
	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/metrics"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
)

// plan is a server about to run: everything that its settings lead to, with its listeners open.
type plan struct {
	config      messaging.Config
	tls         *tls.Config                 // of listeners that speak TLS, nil where none does
	peersTLS    bool                        // whether those for other servers alone do
	certificate *transport.CertificateFiles // nil unless it comes from files
	watch       *control.Watch              // from Run on
	listeners   []net.Listener
	urls        []string
	socket      string
	localCA     string // certificate of the local authority, "" for none
	acmeAddress string // where the certificate authority asks over plain HTTP, "" for none
	acmeHandler http.Handler
	metrics     *metrics.Metrics // nil when they are off
	local       []localListener
	clients     []clientListener
	clientURLs  []string
	home        homeserver.Config // what clients are offered
	adminToken  string
	settings    settings // as file, environment and flags have them
	manager     serviceManager
	reload      *reloader      // nil: settings are never read anew
	keyLog      io.WriteCloser // the secrets of outbound connections, nil for nowhere
}

// plan reads the settings and makes a plan of them. Of a faulty configuration it reports every fault.
func (c *serveCmd) plan(ctx context.Context, w *world) (p *plan, err error) {
	l, err := c.load(w)
	if err != nil {
		return nil, err
	}
	p = &plan{settings: l.settings}
	if c.Dev && len(l.faults) == 0 {
		err = c.develop(ctx, &l.settings, p)
	}
	if err == nil {
		err = l.check(p.tls != nil)
	}
	if err == nil {
		p.keyLog, err = openKeyLog(w)
	}
	if err == nil {
		err = p.build(l.settings, c.Dev)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	if !l.settings.FederationVerifyCertificates {
		w.out.note("strata: federation_verify_certificates is off: whoever is on the way to another server can read and answer requests")
	}
	return p, nil
}

// load reads file, environment and flags.
func (c *serveCmd) load(w *world) (loaded, error) {
	file := configFile(c.Config, w.env)
	if c.Dev && c.Config == "" {
		file = w.env["STRATA_CONFIG"] // a strata.toml that lies here is a real server's
	}
	l, err := loadSettings(file, w.env)
	if err != nil {
		return l, err
	}
	for _, name := range l.strays {
		w.out.note("strata: %s in the environment is no setting, and left alone", name)
	}
	l.faults = append(l.faults, c.settingFlags.apply(&l.settings)...)
	return l, nil
}

// apply puts the flags over the settings.
func (f settingFlags) apply(s *settings) (found faults) {
	for _, over := range []struct {
		flag string
		to   *string
	}{
		{f.ServerName, &s.ServerName}, {f.DataDir, &s.DataDir}, {f.Socket, &s.ControlSocket}, {f.TLSCert, &s.TLSCertificatePath},
		{f.TLSKey, &s.TLSPrivateKeyPath}, {f.LogLevel, &s.LogLevel}, {f.MetricsCompat, &s.MetricsCompat},
	} {
		if over.flag != "" {
			*over.to = over.flag
		}
	}
	if f.TLSCert != "" && f.TLSKey != "" {
		s.ACME.Domains = nil
	}
	s.FederationExtraCAList = append(s.FederationExtraCAList, f.CA...)
	s.EnableMetrics = s.EnableMetrics || f.MetricsCompat != ""
	s.AllowPrivateAddresses = s.AllowPrivateAddresses || f.AllowPrivate
	s.EnableRegistration = s.EnableRegistration || f.EnableRegistration
	f.listeners(s, &found)
	if f.NoTLS && len(f.Listen) == 0 {
		found.add("--no-tls", "has no effect without --listen", "give --listen as well")
	}
	return found
}

// listeners puts those of the flags in the place of those of the same kind.
func (f settingFlags) listeners(s *settings, found *faults) {
	var peers, clients, both []listener
	for _, l := range s.Listeners {
		switch {
		case l.isForPeers() && l.isForClients():
			both = append(both, l)
		case l.isForPeers():
			peers = append(peers, l)
		case l.isForClients():
			clients = append(clients, l)
		}
	}
	if len(f.Listen) > 0 {
		peers = parseListeners("--listen", f.Listen, listener{TLS: !f.NoTLS}, found)
	}
	if len(f.ListenClients) > 0 {
		clients = parseListeners("--listen-clients", f.ListenClients, listener{Resources: []resource{{Names: []string{resourceClient}}}}, found)
	}
	if len(f.ListenBoth) > 0 {
		both = parseListeners("--listen-both", f.ListenBoth, listener{Resources: []resource{{Names: []string{resourceClient, resourceFederation}}}}, found)
	}
	if len(f.Listen) > 0 || len(f.ListenClients) > 0 || len(f.ListenBoth) > 0 {
		s.Listeners = slices.Concat(s.localListeners(), peers, clients, both)
	}
}

// parseListeners reads addresses, each of a listener that is like the given one.
func parseListeners(flag string, addresses []string, like listener, found *faults) (list []listener) {
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		number, numberErr := strconv.ParseInt(port, 10, 64)
		if err != nil || numberErr != nil {
			found.add(flag, fmt.Sprintf("%q is not HOST:PORT", address), "write 127.0.0.1:8448, [::1]:8448 or :8448")
			continue
		}
		l := like
		l.Port = number
		if host != "" {
			l.BindAddresses = []string{host}
		}
		list = append(list, l)
	}
	return list
}

// check finds everything that is wrong, with what reading found. certified: there is a certificate already.
func (l loaded) check(certified bool) error {
	return slices.Concat(l.faults, l.settings.validate(certified), l.settings.checkFiles()).orNil()
}

// build turns settings without faults into a plan. What develop has put there stays.
func (p *plan) build(s settings, dev bool) (err error) {
	p.config.ServerName, p.config.DataDir = s.ServerName, s.DataDir
	p.config.ServerLimits, p.config.Backlog = s.serverLimits(), s.backlog()
	if err := p.federate(s); err != nil {
		return err
	}
	if !dev {
		p.config.Retry = s.retryPolicy()
	}
	if p.adminToken, err = s.adminToken(); err != nil {
		return err
	}
	if p.home, err = s.homeserver(); err != nil {
		return err
	}
	if s.EnableMetrics {
		p.metrics = s.newMetrics()
	}
	p.socket = absolute(s.ControlSocket)
	if s.ControlSocket == "" {
		p.socket = absolute(filepath.Join(s.DataDir, control.SocketName))
	}
	p.config.KeyPath, p.config.KeyValidity = s.SigningKeyPath, time.Duration(s.KeyRefreshInterval)
	p.config.HistoryAhead = historyAhead
	p.config.KeysTimeout = time.Duration(s.FederationKeysTimeout)
	for _, notary := range s.TrustedKeyServers {
		trusted, err := notary.parse()
		if err != nil {
			return err
		}
		p.config.TrustedKeyServers = append(p.config.TrustedKeyServers, trusted)
	}
	for _, id := range sortedKeys(s.OldSigningKeys) {
		key, err := s.OldSigningKeys[id].parse(id)
		if err != nil {
			return err
		}
		p.config.OldKeys = append(p.config.OldKeys, key)
	}
	if err := p.addCertificate(s); err != nil {
		return err
	}
	return p.listen(s)
}

// retryPolicy is the transaction layer's with the configured intervals.
func (s *settings) retryPolicy() transaction.RetryPolicy {
	policy := transaction.DefaultRetryPolicy()
	policy.First = time.Duration(s.Federation.DestinationMinRetryInterval)
	policy.Max = time.Duration(s.Federation.DestinationMaxRetryInterval)
	policy.Factor = s.Federation.DestinationRetryMultiplier
	policy.Contact = min(policy.Contact, policy.First)
	policy.AttemptTimeout = time.Duration(s.Federation.ClientTimeout)
	return policy
}

// federate says with whom this server talks, and how it reaches them.
func (p *plan) federate(s settings) (err error) {
	p.config.ClientLimits, p.config.Loopback = s.clientLimits(), s.FederationLoopback
	if p.config.Servers, err = s.serverPolicy(); err != nil {
		return err
	}
	var local []string
	if p.localCA != "" {
		local = append(local, p.localCA)
	}
	p.config.Network, err = s.network(p.keyLog, local...)
	return err
}

// addCertificate says what this server shows to others: nothing behind a proxy.
func (p *plan) addCertificate(s settings) (err error) {
	switch {
	case p.tls != nil || !s.speaksTLS():
	case len(s.ACME.Domains) > 0:
		cache := s.ACME.CacheDir
		if cache == "" {
			cache = filepath.Join(s.DataDir, "acme")
		}
		p.tls, p.acmeHandler, err = transport.ACME(cache, s.ACME.Domains...)
		if s.ACME.HTTPPort != 0 {
			p.acmeAddress = joinHostPort("", s.ACME.HTTPPort)
		}
	default:
		if p.certificate, err = transport.FileCertificate(s.TLSCertificatePath, s.TLSPrivateKeyPath); err == nil {
			p.tls = p.certificate.Config(nil)
		}
	}
	return err
}

// listen opens the listeners for other servers, if that is not done yet, and those for clients and operators.
func (p *plan) listen(s settings) error {
	if len(p.listeners) == 0 {
		for _, address := range addressesOf(s.peersAlone()) {
			if err := p.listenOn(address, s.peersAlone()[0].TLS); err != nil && !p.coveredBy(address, err) {
				return err
			}
		}
	}
	if err := p.listenToClients(s); err != nil {
		return err
	}
	return p.listenLocally(s)
}

// joinHostPort accepts IPv6 addresses with brackets and without.
func joinHostPort(host string, port int64) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.FormatInt(port, 10))
}

// coveredBy tells whether an address that is taken is taken by ourselves: "::" takes 0.0.0.0 along on most systems, and
// configurations name both.
func (p *plan) coveredBy(address string, err error) bool {
	return strings.HasPrefix(address, "0.0.0.0:") && isInUse(err) && len(p.listeners) > 0
}

func (p *plan) listenOn(address string, speaksTLS bool) error {
	opened, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	p.listeners = append(p.listeners, opened)
	p.urls = append(p.urls, urlOf(opened, speaksTLS))
	p.peersTLS = speaksTLS
	return nil
}

// urlOf is where a listener is reached.
func urlOf(l net.Listener, speaksTLS bool) string {
	if speaksTLS {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// takeListeners hands the listeners over to who closes them.
func (p *plan) takeListeners() []net.Listener {
	taken := p.listeners
	p.listeners = nil
	return taken
}

// close closes what nobody has taken over.
func (p *plan) close() {
	if p.keyLog != nil {
		_ = p.keyLog.Close() // every line is written as it comes
	}
	for _, l := range p.takeListeners() {
		_ = l.Close() // nothing was accepted
	}
	for _, l := range p.takeClients() {
		_ = l.Close() // likewise
	}
	for _, l := range p.takeLocal() {
		_ = l.Close() // likewise
	}
}

// historyAhead is what an answer to backfill holds: what users look at first in a room that they have just joined.
const historyAhead = 100
