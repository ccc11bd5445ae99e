// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/doctor"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// doctorCmd examines a server.
type doctorCmd struct {
	reachFlags
	Config string   `group:"Reach" short:"c" placeholder:"FILE" help:"Configuration of our server. Otherwise strata.toml if it exists. Environment: STRATA_CONFIG."`
	Server string   `arg:"" optional:"" help:"The server to examine, such as example.org. Without: our own, as others see it."`
	Notary []string `placeholder:"SERVER" help:"Ask this one too what the server's keys are, beside trusted_key_servers. Our own clock is compared with theirs. Can be repeated."`
}

// Help implements kong.HelpProvider.
func (doctorCmd) Help() string {
	return `Goes every step by which servers find each other: name, well-known document, SRV records, addresses, TLS, version, keys, a signed
request, clocks. Each finding has a code: E… is a failure, W… a warning; docs/doctor.md has them all, with what to do.

The running server looks, so that it is seen what it sees. If it does not run, the command looks itself, with the settings of the
configuration, and sends no signed request. Exit code 1 if there is a failure.

With --json the report has all the members of the public federation tester's.

  strata doctor
  strata doctor matrix.org --notary example.org
  strata doctor matrix.org --json | jq .FederationOK`
}

// Run implements the command.
func (c *doctorCmd) Run(ctx context.Context, w *world) error {
	report, err := c.examine(ctx, w)
	if err != nil {
		return err
	}
	if err := w.out.print(report, func() { showReport(w.out, report) }); err != nil {
		return err
	}
	if failures, _ := report.Count(); failures > 0 {
		var codes []string
		for _, f := range report.Findings {
			codes = append(codes, f.Code)
		}
		return &control.Error{Kind: control.Refused, Message: "federation does not work: " + strings.Join(codes, " ")}
	}
	return nil
}

func (c *doctorCmd) examine(ctx context.Context, w *world) (report doctor.Report, err error) {
	if c.DB != "" {
		return report, usage("--db: a file sees nobody; without a running server, leave it out")
	}
	l, err := loadSettings(configFile(c.Config, w.env), w.env)
	if err != nil {
		return report, err
	}
	running := true
	err = c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		report, err = client.Doctor(ctx, control.Examine{Server: c.Server, Notaries: c.Notary})
		return err
	})
	var known *control.Error
	if errors.As(err, &known) && known.Kind == control.Unreachable {
		running = false
		report, err = c.examineAlone(ctx, w, l)
	}
	if err != nil || c.Server != "" {
		return report, err
	}
	own := ownServer(l)
	if running {
		own.Running = c.socket(w.env)
	}
	if l.file == "" && running { // a trial: it has no configuration to look at
		own.Files, own.Faults = "none", nil
		if shown, err := c.ownKeys(ctx, w); err == nil {
			own.KeyFile, own.KeyErr = shown.KeyFile, nil
			own.Keys, own.KeyErr = keysOfFile(shown.KeyFile)
		}
	}
	report.Precede(own, time.Now())
	return report, nil
}

func (c *doctorCmd) ownKeys(ctx context.Context, w *world) (found control.OwnKeys, err error) {
	err = c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		found, err = client.OwnKeys(ctx)
		return err
	})
	return found, err
}

// examineAlone looks without the running server.
func (c *doctorCmd) examineAlone(ctx context.Context, w *world, l loaded) (doctor.Report, error) {
	config := doctor.Config{Server: c.Server}
	if c.Server == "" {
		if l.settings.ServerName == "" {
			return doctor.Report{}, usage("no server runs, and there is no configuration that names it: give --config or --data-dir, or the name of a server to examine")
		}
		config.Server = l.settings.ServerName
		if plan, err := keys.Load(l.settings.keyPath()); err == nil {
			if config.Own, err = keys.NewOwn(keys.OwnConfig{Server: ident.ServerName(config.Server), Plan: plan}); err != nil {
				return doctor.Report{}, err
			}
		}
	}
	policy, err := l.settings.serverPolicy()
	if err != nil {
		return doctor.Report{}, err
	}
	if c.Server != "" {
		config.Policy = policy.Check(ident.ServerName(c.Server))
	}
	keyLog, err := openKeyLog(w)
	if err != nil {
		return doctor.Report{}, err
	}
	if keyLog != nil {
		defer keyLog.Close() // every line is written as it comes
	}
	settings, err := l.settings.network(keyLog)
	if err != nil {
		return doctor.Report{}, err
	}
	network, err := transport.NewNetwork(settings)
	if err != nil {
		return doctor.Report{}, err
	}
	defer network.Close()
	config.Network = network
	ctx, cancel := context.WithTimeout(ctx, doctor.Patience)
	defer cancel()
	return doctor.Run(ctx, config), nil
}

// ownServer is what our files say.
func ownServer(l loaded) doctor.Own {
	s := l.settings
	own := doctor.Own{Files: orDash(l.file), KeyFile: s.keyPath()}
	var found faults
	if err := l.check(false); errors.As(err, &found) {
		for _, fault := range found {
			own.Faults = append(own.Faults, fault.String())
		}
	}
	own.Keys, own.KeyErr = keysOfFile(s.keyPath())
	if s.TLSCertificatePath != "" && s.TLSPrivateKeyPath != "" {
		pair, err := tls.LoadX509KeyPair(s.TLSCertificatePath, s.TLSPrivateKeyPath)
		own.Certificate, own.CertErr = pair.Leaf, err
	}
	return own
}

func keysOfFile(path string) ([]keys.OwnKey, error) {
	plan, err := keys.Load(path)
	if err != nil {
		return nil, err
	}
	return plan.At(time.Now().UnixMilli()), nil
}

// showReport prints a report as a ladder.
func showReport(o *output, r doctor.Report) {
	showSteps(o, r.Steps)
	showFindings(o, r.Findings)
	failures, warnings := r.Count()
	fmt.Fprintf(o.stdout, "RESULT %d failures, %d warnings  FederationOK=%v\n", failures, warnings, r.FederationOK)
}

func showSteps(o *output, steps []doctor.Step) {
	var rows [][]string
	for _, s := range steps {
		for i, line := range append(s.Evidence, s.Codes...) {
			row := []string{"", "", "", line}
			if i == 0 {
				row = []string{fmt.Sprint(s.N), s.ID, string(s.Status), line}
			}
			rows = append(rows, row)
		}
		if len(s.Evidence)+len(s.Codes) == 0 {
			rows = append(rows, []string{fmt.Sprint(s.N), s.ID, string(s.Status), "-"})
		}
	}
	o.table([]string{"", "STEP", "STATUS", "EVIDENCE"}, rows)
	o.gap()
}

func showFindings(o *output, findings []doctor.Finding) {
	var rows [][]string
	for _, f := range findings {
		rows = append(rows, []string{f.Code, orDash(f.Spec), f.Text, "fix: " + f.Fix})
	}
	if len(rows) > 0 {
		o.table([]string{"CODE", "RULE", "FINDING", "FIX"}, rows)
		o.gap()
	}
}
