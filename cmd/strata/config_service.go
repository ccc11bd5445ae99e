// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// configServiceCmd prints a unit for systemd.
type configServiceCmd struct {
	settingFlags
	User string `default:"strata" placeholder:"NAME" help:"The system's user that the server runs as (default: ${default})."`
	Bin  string `placeholder:"PATH" help:"The command. Otherwise the one that prints this."`
}

// Help implements kong.HelpProvider.
func (configServiceCmd) Help() string {
	return `The unit grants what the configuration needs and nothing else: its directories, and low ports if a listener has one.

  useradd --system --home-dir /var/lib/strata --shell /usr/sbin/nologin strata
  strata config service --config /etc/strata/strata.toml > /etc/systemd/system/strata.service
  systemctl daemon-reload && systemctl enable --now strata

"systemctl reload strata" has changed settings taken up: see strata serve --help.`
}

//go:embed service.tmpl
var serviceTemplate string

// watchdogTime is how long the database may take to answer before systemd restarts the server: longer than any job or disk should.
const watchdogTime = 3 * time.Minute

// unit is what the template is filled with. Paths are as systemd wants them written.
type unit struct {
	Unit, Bin, Config, User string
	State, Runtime          string // directories below /var/lib and /run that systemd makes, "" for none
	Writable                []string
	LowPorts                bool
	Home                    bool // whether the homes of users are hidden
	Watchdog                int  // seconds
}

// service is the unit as it is printed.
type service struct {
	Path string `json:"path"` // where it could be
	Unit string `json:"unit"`
}

// Run implements the command.
func (c *configServiceCmd) Run(_ context.Context, w *world) error {
	serve := serveCmd{settingFlags: c.settingFlags}
	l, err := serve.load(w)
	if err != nil {
		return err
	}
	if err := l.faults.orNil(); err != nil {
		return err
	}
	if l.file == "" {
		return usage("there is no configuration file: name one with --config; strata init writes one")
	}
	bin := c.Bin
	if bin == "" {
		if bin, err = os.Executable(); err != nil {
			return fmt.Errorf("find the command: %w", err)
		}
	}
	text, err := l.settings.unit(absolute(l.file), absolute(bin), c.User)
	if err != nil {
		return err
	}
	result := service{Path: unitPath, Unit: text}
	return w.out.print(result, func() { _, _ = io.WriteString(w.out.stdout, result.Unit) })
}

const unitPath = "/etc/systemd/system/strata.service"

// unit writes the unit for a server of these settings.
func (s *settings) unit(config, bin, user string) (string, error) {
	u := unit{
		Unit: unitPath, Bin: unitWord(bin), Config: unitWord(config), User: unitWord(user), Home: true,
		LowPorts: s.needsLowPorts(), Watchdog: int(watchdogTime.Seconds()),
	}
	var dirs []string
	for _, path := range []string{s.DataDir, filepath.Dir(absolute(s.keyPath()))} {
		dirs = append(dirs, absolute(path))
	}
	if s.ControlSocket != "" {
		dirs = append(dirs, filepath.Dir(absolute(s.ControlSocket)))
	}
	if s.ACME.CacheDir != "" && len(s.ACME.Domains) > 0 {
		dirs = append(dirs, absolute(s.ACME.CacheDir))
	}
	for _, dir := range dirs {
		state, isState := strings.CutPrefix(dir, "/var/lib/")
		runtime, isRuntime := strings.CutPrefix(dir, "/run/")
		switch {
		case isState && u.State == "":
			u.State = unitWord(state)
		case isRuntime && u.Runtime == "":
			u.Runtime = unitWord(runtime)
		case isState && u.State == unitWord(state), slices.Contains(u.Writable, unitWord(dir)):
		default:
			u.Writable = append(u.Writable, unitWord(dir))
		}
		u.Home = u.Home && !strings.HasPrefix(dir, "/home/") && !strings.HasPrefix(dir, "/root/")
	}
	parsed, err := template.New("service").Parse(serviceTemplate)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	err = parsed.Execute(&text, u)
	return text.String(), err
}

// needsLowPorts tells whether a listener is where only root, or who has the capability, may listen.
func (s *settings) needsLowPorts() bool {
	const firstFree = 1024
	low := func(l listener) bool { return l.Port < firstFree }
	return slices.ContainsFunc(s.peerListeners(), low) || slices.ContainsFunc(s.localListeners(), low) ||
		len(s.ACME.Domains) > 0 && s.ACME.HTTPPort != 0 && s.ACME.HTTPPort < firstFree
}

// unitWord writes a word of a unit file so that systemd reads back just this (systemd.syntax(7), systemd.unit(5) on specifiers).
func unitWord(s string) string {
	s = strings.NewReplacer(`%`, `%%`, `\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
	if strings.ContainsAny(s, " \t'\"\\;") {
		return `"` + s + `"`
	}
	return s
}
