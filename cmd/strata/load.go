// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/strata-matrix/strata/internal/load"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// loadCmd puts a homeserver under load.
type loadCmd struct {
	Target string   `arg:"" placeholder:"SERVER" help:"Name of the server that gets the load."`
	Room   []string `required:"" placeholder:"ROOM" help:"Room of the target that anyone may join, !id:server. Can be repeated."`

	Events         int           `default:"10000" placeholder:"N" help:"How many events to send (default: ${default})."`
	Duration       time.Duration `placeholder:"TIME" help:"Begin nothing more after this time, as in 30s. Without it everything is sent."`
	Rate           float64       `placeholder:"N" help:"Events a second, over all origins. Without it as fast as the target answers."`
	Origins        int           `default:"1" placeholder:"N" help:"How many servers send (default: ${default}). Each needs a room of its own."`
	PerTransaction int           `name:"per-transaction" default:"50" placeholder:"N" help:"Events in a transaction, 1 to 50 (default: ${default})."`
	Members        int           `default:"5" placeholder:"PERCENT" help:"How many of a hundred events are joins and changes of names (default: ${default})."`
	State          int           `default:"5" placeholder:"PERCENT" help:"How many of a hundred events are other state (default: ${default}). The rooms must let every user set it."`
	Forks          int           `default:"0" placeholder:"PERCENT" help:"How many of a hundred events have a sibling (default: ${default})."`
	Seed           uint64        `default:"1" placeholder:"N" help:"What the events are drawn by (default: ${default})."`
	Settle         time.Duration `default:"1m" placeholder:"TIME" help:"How long to wait at most until the target shows the last events (default: ${default})."`

	Host      string   `default:"localhost" placeholder:"HOST" help:"Host by which the target reaches this machine (default: ${default}). The origins are called HOST:PORT."`
	Listen    string   `default:"127.0.0.1" placeholder:"IP" help:"Address to listen at (default: ${default})."`
	Port      int      `placeholder:"N" help:"The origins listen on this port and those that follow. Without it on any that are free."`
	Authority string   `placeholder:"DIR" help:"Local certificate authority that vouches for the origins, created if it is missing. The target must trust ca.crt in DIR."`
	TLSCert   string   `name:"tls-cert" placeholder:"FILE" help:"Certificate of the origins, PEM, in place of an authority."`
	TLSKey    string   `name:"tls-key" placeholder:"FILE" help:"Key of that certificate, PEM."`
	CA        []string `name:"ca" placeholder:"FILE" help:"Certificate authority to trust besides the system's, PEM. Can be repeated."`
}

// Help implements kong.HelpProvider.
func (loadCmd) Help() string {
	return `Puts a homeserver, whichever it is, under the load of other homeservers. Servers are simulated that join its rooms as any
server would, send signed events in transactions, one at a time each, and answer what the target asks: keys, events, state,
missing events, history. They live on this machine, and the target must be able to reach them there over TLS.

All events are made and signed before the clock starts. The result tells what the target has answered, how fast, and when it
showed the last events of each room: an answer may be a promise only. The rooms keep what is sent: use rooms made for it, with a
power level state_default of 0 if other state is to be sent. Never aim it at a server that is not yours.

	strata load localhost:8448 --room '!abc:localhost:8448' --authority ./ca --ca target.crt`
}

func (c loadCmd) options() load.Options {
	rooms := make([]ident.RoomID, len(c.Room))
	for i, room := range c.Room {
		rooms[i] = ident.RoomID(room)
	}
	return load.Options{
		Target: ident.ServerName(c.Target), Rooms: rooms, Origins: c.Origins, Events: c.Events, PerTransaction: c.PerTransaction,
		Rate: c.Rate, Duration: c.Duration, Members: c.Members, State: c.State, Forks: c.Forks, Seed: c.Seed,
		Host: c.Host, Address: c.Listen, Port: c.Port, AllowPrivate: true,
	}
}

// Validate implements kong.Validatable.
func (c loadCmd) Validate() error {
	err := c.options().Validate()
	if net.ParseIP(c.Listen) == nil {
		err = errors.Join(err, fmt.Errorf("--listen %q: must be an IP address", c.Listen))
	}
	if (c.Authority == "") == (c.TLSCert == "") || (c.TLSCert == "") != (c.TLSKey == "") {
		err = errors.Join(err, errors.New("the origins need a certificate that the target trusts: give --authority, or --tls-cert with --tls-key"))
	}
	return onOneLine(err)
}

// loadOutcome is what the command prints.
type loadOutcome struct {
	Target   ident.ServerName `json:"target"`
	Software string           `json:"software"`
	Version  string           `json:"version"`
	Origins  int              `json:"origins"`
	Rooms    int              `json:"rooms"`
	Seed     uint64           `json:"seed"`
	load.Result
	AcceptedRate  float64 `json:"accepted_per_second"` // until the last answer
	SettledRate   float64 `json:"settled_per_second"`  // until the target showed the last events; 0 if it did not in time
	SettleSeconds float64 `json:"settle_seconds"`      // after the last answer
	Unsettled     string  `json:"unsettled,omitempty"` // why not
	Sampled       int     `json:"sampled"`             // of the accepted events, asked for at the end
	Shown         int     `json:"shown"`               // of those
}

func (c loadCmd) Run(ctx context.Context, w *world) error {
	options := c.options()
	var err error
	if options.TLS, err = c.certificate(); err != nil {
		return usage("%v", err)
	}
	if options.RootCAs, err = trusted(c.CA, true); err != nil {
		return usage("%v", err)
	}
	w.out.note("%d origins join %d rooms of %s", c.Origins, len(c.Room), c.Target)
	fleet, err := load.Open(ctx, options)
	if err != nil {
		return err
	}
	defer fleet.Close()
	result := loadOutcome{Target: options.Target, Origins: c.Origins, Rooms: len(c.Room), Seed: c.Seed}
	if result.Software, result.Version, err = fleet.Target(ctx); err != nil {
		return err
	}
	w.out.note("making and signing %d events", c.Events)
	if err := fleet.Build(ctx); err != nil {
		return err
	}
	w.out.note("sending")
	if err := c.send(ctx, w, fleet, &result); err != nil {
		return err
	}
	return w.out.print(result, func() { result.write(w.out.stdout) })
}

// certificate is that of the origins.
func (c loadCmd) certificate() (*tls.Config, error) {
	if c.Authority == "" {
		files, err := transport.FileCertificate(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, err
		}
		return files.Config(nil), nil
	}
	authority, err := transport.OpenLocalCA(c.Authority)
	if err != nil {
		return nil, err
	}
	return authority.ServerTLS(c.Host)
}

// send sends everything, tells meanwhile how far it is, and waits for the target to settle.
func (c loadCmd) send(ctx context.Context, w *world, fleet *load.Fleet, result *loadOutcome) error {
	sent := make(chan struct{})
	go func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-sent:
				return
			case <-tick.C:
				r := fleet.Result()
				w.out.note("%d of %d events accepted, answers p50 %.0f ms, p99 %.0f ms, failed transactions %v",
					r.Accepted, c.Events, r.P50, r.P99, r.Errors)
			}
		}
	}()
	err := fleet.Send(ctx, fleet.Transactions())
	close(sent)
	if err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, c.Settle)
	defer cancel()
	settling, err := fleet.Settle(patience)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	asking, enough := context.WithTimeout(ctx, sampleTime)
	defer enough()
	var unasked error
	result.Shown, result.Sampled, unasked = fleet.Shown(asking)
	if unasked != nil {
		return fmt.Errorf("ask %s for what it accepted: %w", c.Target, unasked)
	}
	result.Result = fleet.Result()
	result.SettleSeconds = settling.Seconds()
	if err != nil {
		result.Unsettled = err.Error()
	} else {
		result.SettledRate = float64(result.Accepted) / (result.SendSeconds + result.SettleSeconds)
	}
	if result.SendSeconds > 0 {
		result.AcceptedRate = float64(result.Accepted) / result.SendSeconds
	}
	return nil
}

// sampleTime bounds the questions at the end.
const sampleTime = time.Minute

// progressEvery is how often people are told how far it is.
const progressEvery = 2 * time.Second

func (r loadOutcome) write(out io.Writer) {
	fmt.Fprintf(out, "%s (%s %s)   %d origins, %d rooms, seed %d\n", r.Target, r.Software, r.Version, r.Origins, r.Rooms, r.Seed)
	fmt.Fprintf(out, "%d of %d events accepted in %.1f s: %.0f PDU/s   answers p50 %.1f ms, p99 %.1f ms\n",
		r.Accepted, r.PDUs, r.SendSeconds, r.AcceptedRate, r.P50, r.P99)
	if r.Unsettled != "" {
		fmt.Fprintf(out, "not all were shown in time: %s\n", harmless(r.Unsettled))
	} else {
		fmt.Fprintf(out, "shown after another %.1f s: %.0f PDU/s in all\n", r.SettleSeconds, r.SettledRate)
	}
	if r.Shown < r.Sampled {
		fmt.Fprintf(out, "of %d accepted events that were asked for it shows %d\n", r.Sampled, r.Shown)
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Refused)) {
		fmt.Fprintf(out, "refused  %d events: %s\n", r.Refused[reason], harmless(reason))
	}
	for _, class := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(out, "failed   %d transactions, sent again: %s\n", r.Errors[class], class)
	}
}
