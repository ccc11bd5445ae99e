// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"syscall"

	"github.com/strata-matrix/strata/transport"
)

// reloadable are the settings that count anew after a reload. All others do after a restart.
var reloadable = []string{"federation_domain_whitelist", "forbidden_remote_server_names", "log_level"}

// reloader takes up what has changed in the settings while the server runs. It belongs to the goroutine of run.
type reloader struct {
	command    *serveCmd
	world      *world
	serverName string // which --dev may have chosen
	inForce    settings
	asked      <-chan os.Signal
	manager    serviceManager

	log         *slog.Logger
	level       *slog.LevelVar
	policy      transport.ServerPolicy
	certificate *transport.CertificateFiles // nil unless it comes from files
}

// reloadSignals has signals for a reload come to the channel, from now on.
func reloadSignals() (asked chan os.Signal, stop func()) {
	asked = make(chan os.Signal, 1) // one more while we are at it is enough
	signal.Notify(asked, syscall.SIGHUP, syscall.SIGUSR1)
	return asked, func() { signal.Stop(asked) }
}

// run reloads when asked, until ctx ends.
func (r *reloader) run(ctx context.Context) error {
	if r == nil {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.asked:
		}
		if err := r.manager.tell(serviceReloading); err != nil {
			return err
		}
		r.reload()
		if err := r.manager.tell(serviceReady); err != nil {
			return err
		}
	}
}

// reload reads the settings anew and takes up what can be. Faulty ones are left alone as a whole.
func (r *reloader) reload() {
	fresh, err := r.command.load(r.world)
	taken, waiting := r.inForce.changes(&fresh.settings)
	if err == nil {
		fresh.settings.ServerName = cmp.Or(fresh.settings.ServerName, r.serverName)
		err = fresh.check(true)
	}
	var policy transport.ServerPolicy
	if err == nil {
		policy, err = fresh.settings.serverPolicy()
	}
	var level slog.Level
	if err == nil {
		err = level.UnmarshalText([]byte(fresh.settings.LogLevel))
	}
	if err != nil {
		r.log.Error("settings.left", "error", err)
		return
	}
	r.policy.Replace(policy)
	r.level.Set(level)
	r.inForce.FederationDomainWhitelist = fresh.settings.FederationDomainWhitelist
	r.inForce.ForbiddenRemoteServerNames, r.inForce.LogLevel = fresh.settings.ForbiddenRemoteServerNames, fresh.settings.LogLevel
	if r.certificate != nil {
		if err := r.certificate.Reload(); err != nil {
			r.log.Error("certificate.left", "error", err)
		}
	}
	r.log.Warn("settings.reloaded", "taken_up", taken, "need_restart", waiting)
}

// changes names the settings in which two differ: those that a reload takes up, and those that wait for a restart.
func (s *settings) changes(other *settings) (taken, waiting []string) {
	ours, theirs := reflect.ValueOf(s).Elem(), reflect.ValueOf(other).Elem()
	for i := range ours.NumField() {
		name := ours.Type().Field(i).Tag.Get("toml")
		switch {
		case reflect.DeepEqual(ours.Field(i).Interface(), theirs.Field(i).Interface()):
		case slices.Contains(reloadable, name):
			taken = append(taken, name)
		default:
			waiting = append(waiting, name)
		}
	}
	return taken, waiting
}
