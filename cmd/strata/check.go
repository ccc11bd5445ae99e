// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/doctor"
)

// checkCmd answers monitoring systems.
type checkCmd struct {
	Federation checkFederationCmd `cmd:"" help:"Check whether other servers reach ours and believe it (ro)."`
	Cert       checkCertCmd       `cmd:"" help:"Check the certificate that other servers see (ro)."`
	Keys       checkKeysCmd       `cmd:"" help:"Check the signing keys that we publish (ro)."`
	Clock      checkClockCmd      `cmd:"" help:"Check our clock against those of the trusted notaries (ro)."`
	Queue      checkQueueCmd      `cmd:"" help:"Check how many servers cannot be delivered to (ro)."`
	Lag        checkLagCmd        `cmd:"" help:"Check how long events wait to be judged (ro)."`
	DB         checkDBCmd         `cmd:"" name:"db" help:"Check how fast the database answers (ro)."`
}

const checkHelp = `

Exit codes are those of monitoring plugins: 0 ok, 1 warning, 2 critical, 3 unknown. A server that does not answer is critical. With
--format prometheus it writes what node_exporter's textfile collector takes; with --json or --format json one JSON value.

  strata check `

type checkFederationCmd struct{ examineFlags }

// Help implements kong.HelpProvider.
func (checkFederationCmd) Help() string {
	return `All that strata doctor finds of our own server: a failure is critical, a warning is one.` + checkHelp + `federation --format nagios`
}

type checkCertCmd struct{ examineFlags }

// Help implements kong.HelpProvider.
func (checkCertCmd) Help() string {
	return `What strata doctor finds of the certificate, in the files and as others see it: a warning comes 14 days before its end.` + checkHelp + `cert`
}

type checkKeysCmd struct{ examineFlags }

// Help implements kong.HelpProvider.
func (checkKeysCmd) Help() string {
	return `What strata doctor finds of the signing keys: the key file, and what is published.` + checkHelp + `keys`
}

type checkClockCmd struct{ examineFlags }

// Help implements kong.HelpProvider.
func (checkClockCmd) Help() string {
	return `What strata doctor finds of the clock. It is unknown when there is nobody to compare with: trusted_key_servers, or --notary.` + checkHelp + `clock --notary matrix.org`
}

type checkQueueCmd struct {
	limitFlags
	OldestWarning  *duration `placeholder:"SPAN" help:"Warn when something has waited for so long, such as 6h; nothing does otherwise."`
	OldestCritical *duration `placeholder:"SPAN" help:"Be critical when something has waited for so long."`
}

// Help implements kong.HelpProvider.
func (checkQueueCmd) Help() string {
	return `The share of servers that failed and are tried again later, of all that anything was ever sent to. Servers come and go: it warns at
0.7 and is critical at 0.95, and counts from three servers on. What has waited longest is told too; for a server that is away for
ever something waits for ever, so that its age counts only if you say from where on.` + checkHelp + `queue --warning 0.5 --oldest-warning 2d`
}

type checkLagCmd struct{ limitFlags }

// Help implements kong.HelpProvider.
func (checkLagCmd) Help() string {
	return `For how many seconds the first of the events that are ready to be judged has waited: it warns at 60 and is critical at 600.` + checkHelp + `lag --critical 120`
}

type checkDBCmd struct{ limitFlags }

// Help implements kong.HelpProvider.
func (checkDBCmd) Help() string {
	return `How many seconds the database takes for a short question, behind whatever else it has to do: it warns at 1 and is critical at 10.` + checkHelp + `db`
}

// formatFlag is how a check tells its result.
type formatFlag struct {
	Format string `enum:"text,nagios,json,prometheus" default:"text" placeholder:"FORMAT" help:"text, nagios, json or prometheus."`
}

// examineFlags are of checks that look at our server as strata doctor does.
type examineFlags struct {
	formatFlag
	reachFlags
	Config string   `group:"Reach" short:"c" placeholder:"FILE" help:"Configuration of our server. Otherwise strata.toml if it exists. Environment: STRATA_CONFIG."`
	Notary []string `placeholder:"SERVER" help:"Compare with this one too, beside trusted_key_servers. Can be repeated."`
}

// limitFlags are of checks of a figure.
type limitFlags struct {
	formatFlag
	reachFlags
	Warning  *float64 `placeholder:"N" help:"Warn from this figure on."`
	Critical *float64 `placeholder:"N" help:"Be critical from this figure on."`
}

// Run implements the command.
func (c *checkFederationCmd) Run(ctx context.Context, w *world) error {
	return c.examine(ctx, w, "federation", "", nil)
}

// Run implements the command.
func (c *checkCertCmd) Run(ctx context.Context, w *world) error {
	return c.examine(ctx, w, "cert", "TCP and TLS", []string{"E003", "W006", "E503", "W504", "E505"})
}

// Run implements the command.
func (c *checkKeysCmd) Run(ctx context.Context, w *world) error {
	return c.examine(ctx, w, "keys", "keys", []string{"E002", "E005", "E701", "E702", "E703", "W704", "W705", "E706"})
}

// Run implements the command.
func (c *checkClockCmd) Run(ctx context.Context, w *world) error {
	return c.examine(ctx, w, "clock", "clock", []string{"E901", "W902"})
}

// examine has strata doctor look, and counts findings with certain codes, nil for all. Without the step nothing is known.
func (c *examineFlags) examine(ctx context.Context, w *world, name, step string, codes []string) error {
	look := doctorCmd{reachFlags: c.reachFlags, Config: c.Config, Notary: c.Notary}
	report, err := look.examine(ctx, w)
	if err != nil {
		return c.tell(w, unanswered(name, err))
	}
	return c.tell(w, judgeReport(report, name, step, codes))
}

// judgeReport makes a result of what strata doctor found.
func judgeReport(report doctor.Report, name, step string, codes []string) checked {
	result := checked{Check: name, State: stateOK}
	warnings, failures := 0, 0
	for _, f := range report.Findings {
		if codes != nil && !slices.Contains(codes, f.Code) {
			continue
		}
		if f.Code[0] == 'E' {
			failures++
			result.worsen(stateCritical)
		} else {
			warnings++
			result.worsen(stateWarning)
		}
		result.say(f.Code + " " + f.Text)
	}
	gone := func(s doctor.Step) bool { return s.ID == step && s.Status != doctor.Skipped }
	if result.State == stateOK && step != "" && !slices.ContainsFunc(report.Steps, gone) {
		result.State = stateUnknown
		result.say("strata doctor did not get as far as that, or had nothing to compare with")
	}
	if result.Text == "" {
		result.say("nothing is wrong with " + report.ServerName)
	}
	result.Values = []figure{{Name: "failures", Value: float64(failures)}, {Name: "warnings", Value: float64(warnings)}}
	return result
}

// Run implements the command.
func (c *checkQueueCmd) Run(ctx context.Context, w *world) error {
	oldest := figure{Name: "oldest", Unit: "s", Warning: c.OldestWarning.seconds(), Critical: c.OldestCritical.seconds()}
	if oldest.Warning != nil && oldest.Critical != nil && *oldest.Warning > *oldest.Critical {
		return usage("--oldest-warning is more than --oldest-critical")
	}
	return c.measure(ctx, w, "queue", 0.7, 0.95, func(s control.Status, limits figure) checked {
		const few = 3 // of which each is too large a share
		limits.Name = "waiting_ratio"
		if s.Servers >= few {
			limits.Value = float64(s.Waiting) / float64(s.Servers)
		}
		result := limits.judge("queue")
		oldest.Value = since(s.OldestQueued)
		result.worsen(oldest.state())
		result.say(fmt.Sprintf("%d of %d servers failed and are tried again later, %d are held; %d PDUs and %d EDUs wait",
			s.Waiting, s.Servers, s.Held, s.QueuedPDUs, s.QueuedEDUs))
		if s.OldestQueued > 0 {
			result.say("the oldest since " + w.out.when(s.OldestQueued))
		}
		result.Values = append(result.Values, figure{Name: "waiting", Value: float64(s.Waiting)}, figure{Name: "servers", Value: float64(s.Servers)},
			figure{Name: "items", Value: float64(s.QueuedPDUs + s.QueuedEDUs)}, oldest)
		return result
	})
}

// Run implements the command.
func (c *checkLagCmd) Run(ctx context.Context, w *world) error {
	return c.measure(ctx, w, "lag", 60, 600, func(s control.Status, limits figure) checked {
		limits.Name, limits.Unit = "oldest", "s"
		limits.Value = since(s.OldestReady)
		result := limits.judge("lag")
		result.say(fmt.Sprintf("%d events are to be judged, the first for %.1f s; %d wait for what they refer to", s.Ready, limits.Value, s.Quarantined))
		result.Values = append(result.Values, figure{Name: "ready", Value: float64(s.Ready)}, figure{Name: "quarantined", Value: float64(s.Quarantined)})
		return result
	})
}

// since is the seconds since a time in ms, none since 0.
func since(ms int64) float64 {
	if ms == 0 {
		return 0
	}
	return max(0, time.Since(time.UnixMilli(ms)).Seconds())
}

// Run implements the command.
func (c *checkDBCmd) Run(ctx context.Context, w *world) error {
	return c.measure(ctx, w, "db", 1, 10, func(s control.Status, limits figure) checked {
		limits.Name, limits.Unit = "answer", "s"
		limits.Value = (time.Duration(s.StoreTook) * time.Microsecond).Seconds()
		result := limits.judge("db")
		result.say(fmt.Sprintf("the database answers in %s", took(s.StoreTook)))
		return result
	})
}

// measure asks the server how it is and judges a figure of that.
func (c *limitFlags) measure(ctx context.Context, w *world, name string, warning, critical float64, judge func(control.Status, figure) checked) error {
	if c.Warning != nil {
		warning = *c.Warning
	}
	if c.Critical != nil {
		critical = *c.Critical
	}
	if warning > critical {
		return usage("--warning %v is more than --critical %v", warning, critical)
	}
	var status control.Status
	err := c.ask(ctx, w, func(ctx context.Context, client *control.Client) (err error) {
		status, err = client.Status(ctx)
		return err
	})
	if err != nil {
		return c.tell(w, unanswered(name, err))
	}
	return c.tell(w, judge(status, figure{Warning: &warning, Critical: &critical}))
}
