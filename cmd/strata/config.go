// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
)

// configCmd is everything about configurations.
type configCmd struct {
	Check   configCheckCmd   `cmd:"" help:"Find every fault of a configuration, without starting anything (ro)."`
	Print   configPrintCmd   `cmd:"" help:"Print every setting in force, as a configuration file (ro)."`
	Env     configEnvCmd     `cmd:"" help:"Print every setting in force, as variables of the environment (ro)."`
	Service configServiceCmd `cmd:"" help:"Print a unit for systemd (ro)."`
}

type configCheckCmd struct {
	settingFlags
}

// Help implements kong.HelpProvider.
func (configCheckCmd) Help() string {
	return `Reads file, environment and flags as serve does, and looks whether the files that they name can be read. All faults are
reported at once, each with the setting's name and what to do. Without any it prints the settings in force.

  strata config check --config /etc/strata/strata.toml && systemctl restart strata`
}

// inForce is a good configuration in short.
type inForce struct {
	OK           bool         `json:"ok"`
	File         string       `json:"file,omitempty"`
	ServerName   string       `json:"server_name"`
	DataDir      string       `json:"data_dir"`
	Listen       []string     `json:"listen"`
	Clients      []string     `json:"clients,omitempty"`
	TLS          string       `json:"tls"` // files, acme, or proxy for none of our own
	Retry        retry        `json:"retry"`
	RCFederation rcFederation `json:"rc_federation"`
	Backlog      backlog      `json:"backlog"`
}

type backlog struct {
	Items int64    `json:"items"`
	Age   duration `json:"age"`
}

type retry struct {
	First      duration `json:"first"`
	Multiplier float64  `json:"multiplier"`
	Longest    duration `json:"longest"`
}

// Run implements the command.
func (c *configCheckCmd) Run(_ context.Context, w *world) error {
	serve := serveCmd{settingFlags: c.settingFlags}
	l, err := serve.load(w)
	if err != nil {
		return err
	}
	if err := l.check(false); err != nil {
		return err
	}
	s := l.settings
	result := inForce{
		OK: true, File: l.file, ServerName: s.ServerName, DataDir: s.DataDir, Listen: s.addresses(), Clients: addressesOf(s.clientListeners()), TLS: s.certificateSource(),
		Retry:        retry{s.Federation.DestinationMinRetryInterval, s.Federation.DestinationRetryMultiplier, s.Federation.DestinationMaxRetryInterval},
		RCFederation: s.RCFederation, Backlog: backlog{s.Federation.DestinationBacklogItems, s.Federation.DestinationBacklogTime},
	}
	waiting, err := result.Backlog.Age.MarshalText()
	if err != nil {
		return err
	}
	return w.out.print(result, func() {
		w.out.pairs([][]string{
			{"file", orDash(result.File)}, {"server name", result.ServerName}, {"data directory", result.DataDir},
			{"listen", strings.Join(result.Listen, " ")}, {"clients", orDash(strings.Join(result.Clients, " "))}, {"certificate", result.TLS},
			{"requests of a server", fmt.Sprintf("%d at once, %d wait", s.RCFederation.Concurrent, s.RCFederation.RejectLimit)},
			{"waits for a server", fmt.Sprintf("%d items, %s", result.Backlog.Items, waiting)},
		})
	})
}

// addresses are where other servers reach this one.
func (s *settings) addresses() []string { return addressesOf(s.peerListeners()) }

func addressesOf(listeners []listener) (list []string) {
	for _, l := range listeners {
		list = append(list, l.addresses()...)
	}
	return list
}

func (l listener) addresses() (list []string) {
	if len(l.BindAddresses) == 0 {
		return []string{joinHostPort("", l.Port)}
	}
	for _, address := range l.BindAddresses {
		list = append(list, joinHostPort(address, l.Port))
	}
	return list
}

func (s *settings) certificateSource() string {
	switch {
	case !s.speaksTLS():
		return "proxy"
	case len(s.ACME.Domains) > 0:
		return "acme"
	}
	return "files"
}
