// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/trace"
)

// serveCmd runs a server until it is told to end.
type serveCmd struct {
	settingFlags
	Dev   bool   `help:"For trying things out: certificates of a local authority, addresses of this machine only, a free port, short pauses between retries."`
	DevCA string `name:"dev-ca" placeholder:"DIR" help:"With --dev: directory of the local authority. Servers that share it trust each other. Otherwise ca in the data directory."`
}

// settingFlags are the settings that can be given as flags.
type settingFlags struct {
	Config             string   `group:"Settings" short:"c" placeholder:"FILE" help:"Configuration file. Otherwise strata.toml if it exists. Environment: STRATA_CONFIG."`
	ServerName         string   `group:"Settings" placeholder:"NAME" help:"Name of the server, which its user ids end with. It can never change."`
	DataDir            string   `group:"Settings" placeholder:"DIR" help:"Directory of database, signing key and control socket."`
	Socket             string   `group:"Settings" placeholder:"PATH" help:"Control socket. Otherwise ctl.sock in the data directory."`
	Listen             []string `group:"Settings" placeholder:"HOST:PORT" help:"Address to listen on, in place of the file's listeners for servers; with an empty host all. Can be repeated."`
	ListenClients      []string `group:"Settings" placeholder:"HOST:PORT" help:"Address to listen on for clients, over plain HTTP, in place of the file's listeners for clients: this is a homeserver then. Can be repeated."`
	ListenBoth         []string `group:"Settings" placeholder:"HOST:PORT" help:"Address to listen on for clients and for other servers, over plain HTTP, in place of the file's listeners for both: this is a homeserver then. Can be repeated."`
	TLSCert            string   `group:"Settings" name:"tls-cert" placeholder:"FILE" help:"Certificate chain, PEM."`
	TLSKey             string   `group:"Settings" name:"tls-key" placeholder:"FILE" help:"Key of the certificate, PEM."`
	NoTLS              bool     `group:"Settings" name:"no-tls" help:"With --listen: speak plain HTTP, for a proxy in front that has the certificate."`
	CA                 []string `group:"Settings" name:"ca" placeholder:"FILE" help:"Certificate authority to trust besides the system's (SSL_CERT_FILE is honoured), PEM. Can be repeated."`
	EnableRegistration bool     `group:"Settings" help:"Let everybody register who reaches a listener for clients."`
	AllowPrivate       bool     `group:"Settings" help:"Connect to other servers at private and local addresses too."`
	MetricsCompat      string   `group:"Settings" placeholder:"synapse" help:"Turn metrics on, and tell them under the names of another server too."`
	LogLevel           string   `group:"Settings" placeholder:"LEVEL" help:"debug, info, warn or error."`
}

// Help implements kong.HelpProvider.
func (serveCmd) Help() string {
	return `Settings come from a file, then the environment, then flags; the later one counts. A variable is named after the
setting with STRATA_ in front and __ for each step into a table: STRATA_SERVER_NAME, STRATA_FEDERATION__CLIENT_TIMEOUT=30s,
STRATA_LISTENERS__0__PORT. "strata init" writes a file that explains itself, "strata config check" finds its faults.

When the server answers, one line on stdout says its name, its addresses and its control socket. The first interrupt or
SIGTERM lets requests under way finish, the second ends at once; nothing acknowledged is lost either way. SIGHUP or SIGUSR1 has
the settings read anew: the lists of servers, the log level and the certificate's files are taken up; the log names the settings
that have changed and need a restart.

Two servers that federate, on one machine:

  strata serve --dev --data-dir one --dev-ca ca
  strata serve --dev --data-dir two --dev-ca ca`
}

// Run implements the command.
func (c *serveCmd) Run(ctx context.Context, w *world) error {
	go tendCollector(ctx, w.env)
	asked, stop := reloadSignals() // from the first: who did not ask for them would be ended by one
	defer stop()
	if c.DevCA != "" && !c.Dev {
		return usage("--dev-ca is for --dev")
	}
	p, err := c.plan(ctx, w)
	if err != nil {
		return err
	}
	defer p.close()
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(p.settings.LogLevel)); err != nil {
		return usage("log level: %v", err)
	}
	logger := newLogger(w.out, w.env, level)
	p.watch = control.NewWatch()
	p.config.Trace = trace.Tee(logSink(logger), p.watch)
	if p.metrics != nil {
		p.config.Trace = trace.Tee(p.config.Trace, p.metrics)
	}
	routeStrayLog(p.config.Trace)
	if p.certificate != nil {
		p.tls = p.certificate.Config(p.config.Trace)
	}
	p.config.Version = softwareVersion()
	server, err := p.open(ctx)
	if err != nil {
		return err
	}
	p.manager = serviceManagerOf(w.env, os.Getpid())
	p.reload = &reloader{
		command: c, serverName: p.config.ServerName, world: w, inForce: p.settings, asked: asked, manager: p.manager,
		log: logger, level: level, policy: server.federation.Policy(), certificate: p.certificate,
	}
	err = p.run(ctx, w, server)
	return errors.Join(err, server.close())
}

// run serves until ctx ends or something gives up.
func (p *plan) run(ctx context.Context, w *world, served served) error {
	server := served.federation
	socket, err := control.Listen(p.socket)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return control.Serve(ctx, socket, control.NewHandler(server, p.watch, p.config.Version)) })
	for _, listener := range p.takeListeners() {
		group.Go(func() error { return server.Serve(ctx, listener) })
	}
	for _, listener := range p.takeClients() {
		group.Go(func() error { return served.home.ServeClients(ctx, listener, p.door(listener.settings)) })
	}
	for _, listener := range p.takeLocal() {
		group.Go(func() error { return p.serveLocal(ctx, listener, served) })
	}
	if p.acmeAddress != "" {
		group.Go(func() error { return serveACME(ctx, p.acmeAddress, p.acmeHandler) })
	}
	group.Go(func() error {
		if err := served.ended(ctx); err != nil {
			return err
		}
		return p.manager.tell(serviceStopping)
	})
	group.Go(func() error { return p.reload.run(ctx) })
	group.Go(func() error { return p.manager.feedWatchdog(ctx, answers(server)) })
	group.Go(func() error { return p.announce(w) })
	return group.Wait()
}

// up is the line that says that the server answers.
type up struct {
	ServerName string   `json:"server_name"`
	Listen     []string `json:"listen"` // URLs
	Clients    []string `json:"clients,omitempty"`
	Socket     string   `json:"socket"`
	DataDir    string   `json:"data_dir"`
	CA         string   `json:"ca,omitempty"` // certificate of the local authority
}

// announce tells the terminal, and the service manager, that the server answers.
func (p *plan) announce(w *world) error {
	u := up{ServerName: p.config.ServerName, Listen: p.urls, Clients: p.clientURLs, Socket: p.socket, DataDir: absolute(p.config.DataDir), CA: p.localCA}
	err := w.out.print(u, func() {
		if !w.out.terminal {
			w.out.table(nil, [][]string{append([]string{u.ServerName, strings.Join(u.Listen, " "), u.Socket}, u.Clients...)})
			return
		}
		rows := [][]string{
			{"server", u.ServerName}, {"address", strings.Join(u.Listen, " ")}, {"socket", u.Socket},
		}
		if len(u.Clients) > 0 {
			rows = append(rows, []string{"clients", strings.Join(u.Clients, " ")})
		}
		if u.CA != "" {
			rows = append(rows, []string{"authority", u.CA})
		}
		w.out.pairs(rows)
	})
	if err != nil {
		return err
	}
	return p.manager.tell(serviceReady)
}

// acmeTime bounds a request of the certificate authority, which is a few hundred bytes.
const acmeTime = 10 * time.Second

// serveACME answers the certificate authority over plain HTTP until ctx ends.
func serveACME(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{
		Addr: address, Handler: handler, ReadTimeout: acmeTime, WriteTimeout: acmeTime, IdleTimeout: acmeTime,
		MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return fmt.Errorf("answer the certificate authority on %s: %w", address, err)
	}
	return nil
}

// absolute is path as others in another directory would name it.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path // only without a working directory
}

// exists tells whether a file is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
