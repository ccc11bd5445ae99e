// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/doctor"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// networkFlags make a command find its way to other servers by itself, as a server with this configuration would.
type networkFlags struct {
	Local        bool     `group:"By itself" help:"Do not ask a running server; look by oneself, with the settings of the configuration file."`
	Config       string   `group:"By itself" short:"c" placeholder:"FILE" help:"Configuration file. Otherwise strata.toml if it exists. Environment: STRATA_CONFIG."`
	CA           []string `group:"By itself" name:"ca" placeholder:"FILE" help:"Certificate authority to trust besides the system's, PEM. Can be repeated."`
	AllowPrivate bool     `group:"By itself" help:"Connect to private and local addresses too."`
	DNS          []string `group:"By itself" name:"dns" placeholder:"ADDRESS" help:"DNS server to ask, such as 192.0.2.53 or 127.0.0.1:5353. Can be repeated."`
}

// isAlone tells whether the flags mean that no running server is to be asked.
func (f networkFlags) isAlone() bool {
	return f.Local || f.Config != "" || len(f.CA)+len(f.DNS) > 0 || f.AllowPrivate
}

// settings are those of the configuration with the flags over them; only what is about the network has been checked.
func (f networkFlags) settings(w *world) (settings, error) {
	l, err := loadSettings(configFile(f.Config, w.env), w.env)
	if err != nil {
		return settings{}, err
	}
	s := l.settings
	s.FederationExtraCAList = append(s.FederationExtraCAList, f.CA...)
	s.AllowPrivateAddresses = s.AllowPrivateAddresses || f.AllowPrivate
	if len(f.DNS) > 0 {
		s.DNSServers = f.DNS
	}
	s.checkNetwork(&l.faults)
	return s, l.faults.orNil()
}

type resolveCmd struct {
	reachFlags
	networkFlags
	Server  string `arg:"" help:"Server name, such as example.org."`
	NoCache bool   `help:"Ask everything anew, whatever the server remembers. It remembers the answers."`
	Connect bool   `help:"Connect to each address as well, and check the certificate."`
	Trace   bool   `help:"Show each step with its evidence."`
}

// Help implements kong.HelpProvider.
func (resolveCmd) Help() string {
	return `Shows where requests to a server go, as the running server sees it; without one the command looks by itself. A target is
what to connect to; HOST is the header and CERTIFICATE the name that the certificate must be for (SS "Resolving server names", whose
step is in STEP). Findings have a code, the rule and what to do: of those with E requests fail, of those with W not, or not yet.
Exit code 0 if there is a way, 1 if our own lists are in it, 4 if it ends somewhere.

  strata resolve matrix.org
  strata resolve matrix.org --trace --connect --no-cache
  strata resolve example.org --local --dns 9.9.9.9`
}

// Run implements the command.
func (c *resolveCmd) Run(ctx context.Context, w *world) error {
	if c.DB != "" {
		return usage("--db reads a file, which knows no way to other servers: leave it out")
	}
	if _, err := ident.ParseServerName(c.Server); err != nil {
		return usage("%v", err)
	}
	report, err := c.find(ctx, w)
	if err != nil {
		return err
	}
	if err := w.out.print(report, func() { c.show(w.out, report) }); err != nil {
		return err
	}
	return failureOf(report)
}

// find asks the running server, or looks by itself.
func (c *resolveCmd) find(ctx context.Context, w *world) (report doctor.Report, err error) {
	if c.isAlone() {
		return c.alone(ctx, w)
	}
	err = c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		report, err = client.Resolve(ctx, control.Resolve{Server: c.Server, Fresh: c.NoCache, Connect: c.Connect})
		return err
	})
	var answered *control.Error
	if errors.As(err, &answered) && answered.Kind == control.Unreachable && c.Socket == "" && c.DataDir == "" {
		w.out.note("no server is running here: this command looks by itself")
		return c.alone(ctx, w)
	}
	return report, err
}

// alone looks without a server.
func (c *resolveCmd) alone(ctx context.Context, w *world) (report doctor.Report, err error) {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	s, err := c.networkFlags.settings(w)
	if err != nil {
		return report, err
	}
	policy, err := s.serverPolicy()
	if err != nil {
		return report, err
	}
	keyLog, err := openKeyLog(w)
	if err != nil {
		return report, err
	}
	if keyLog != nil {
		defer keyLog.Close() // every line is written as it comes
	}
	config, err := s.network(keyLog)
	if err != nil {
		return report, err
	}
	config.UserAgent = "Strata/" + softwareVersion()
	network, err := transport.NewNetwork(config)
	if err != nil {
		return report, err
	}
	defer network.Close()
	return doctor.Resolve(ctx, doctor.Config{
		Server: c.Server, Network: network, Policy: policy.Check(ident.ServerName(c.Server)), Kept: !c.NoCache,
	}, c.Connect), nil
}

func (c *resolveCmd) show(o *output, r doctor.Report) {
	if c.Trace {
		showSteps(o, r.Steps)
	}
	var rows [][]string
	for _, t := range r.Targets {
		rows = append(rows, []string{t.Address, t.Host, t.Certificate, t.Step, orDash(strings.Join(t.Addresses, " "))})
	}
	o.table([]string{"TARGET", "HOST", "CERTIFICATE", "STEP", "ADDRESSES"}, rows)
	o.gap()
	showFindings(o, r.Findings)
}

// failureOf is how resolve ends.
func failureOf(r doctor.Report) error {
	first := slices.IndexFunc(r.Findings, doctor.Finding.IsFailure)
	if first < 0 {
		return nil
	}
	f, kind := r.Findings[first], control.Unreachable
	switch f.Code {
	case "E101":
		kind = control.Usage
	case "E102", "E402":
		kind = control.Refused
	}
	return &control.Error{Kind: kind, Message: fmt.Sprintf("%s: %s %s", r.ServerName, f.Code, f.Text)}
}
