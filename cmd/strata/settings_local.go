// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/internal/adminapi"
	"github.com/strata-matrix/strata/internal/metrics"
	"github.com/strata-matrix/strata/transport/ident"
)

// resource is what a listener answers, as Synapse writes it.
type resource struct {
	Names []string `toml:"names"`
}

// The names of resources. What is for operators shares no listener with what others ask.
const (
	resourceFederation = "federation" // all that other servers ask
	resourceKeys       = "keys"       // is part of it
	resourceHealth     = "health"     // is everywhere
	resourceMetrics    = "metrics"
	resourceAdmin      = "admin" // the part of Synapse's admin API that is about federation
)

var (
	peerResources  = []string{resourceFederation, resourceKeys}
	localResources = []string{resourceMetrics, resourceAdmin}
)

// offers tells whether a listener names a resource.
func (l listener) offers(name string) bool {
	return slices.ContainsFunc(l.Resources, func(r resource) bool { return slices.Contains(r.Names, name) })
}

// isLocal tells whether a listener is for operators and not for other servers.
func (l listener) isLocal() bool { return slices.ContainsFunc(localResources, l.offers) }

// isForPeers tells whether a listener is for other servers: it says so, or nothing else.
func (l listener) isForPeers() bool {
	return !l.isLocal() && (!l.isForClients() || slices.ContainsFunc(peerResources, l.offers))
}

// configured are the listeners for other servers that the settings name, those for clients too included.
func (s *settings) configured() (list []listener) {
	for _, l := range s.Listeners {
		if l.isForPeers() {
			list = append(list, l)
		}
	}
	return list
}

// peerListeners are those for other servers: at least one.
func (s *settings) peerListeners() []listener {
	if list := s.configured(); len(list) > 0 {
		return list
	}
	return []listener{{Port: federationPort, TLS: true}}
}

// peersAlone are those where no clients come in. All of them speak TLS, or none.
func (s *settings) peersAlone() []listener {
	return slices.DeleteFunc(s.peerListeners(), listener.isForClients)
}

// speaksTLS tells whether other servers find TLS here, and no proxy has it.
func (s *settings) speaksTLS() bool {
	return slices.ContainsFunc(s.peerListeners(), func(l listener) bool { return l.TLS })
}

// localListeners are those for operators. Metrics that are on and have none get one that this machine alone reaches.
func (s *settings) localListeners() (list []listener) {
	metered := false
	for _, l := range s.Listeners {
		if l.isLocal() {
			list = append(list, l)
			metered = metered || l.offers(resourceMetrics)
		}
	}
	if s.EnableMetrics && !metered {
		list = append(list, listener{
			Port: metricsPort, BindAddresses: []string{"127.0.0.1"}, Resources: []resource{{Names: []string{resourceMetrics}}},
		})
	}
	return list
}

// checkLocal finds what is wrong with what operators get to see.
func (s *settings) checkLocal(found *faults) {
	known := slices.Concat(peerResources, localResources, []string{resourceClient, resourceHealth})
	for i, l := range s.Listeners {
		key := fmt.Sprintf("listeners[%d]", i)
		for _, r := range l.Resources {
			for _, name := range r.Names {
				if !slices.Contains(known, name) {
					found.add(key+".resources", fmt.Sprintf("names %q", name), "there are "+strings.Join(known, ", "))
				}
			}
		}
		if l.isLocal() && slices.ContainsFunc(peerResources, l.offers) {
			found.add(key+".resources", "has what other servers ask beside what is for operators", "give operators a listener of their own, at an address that others do not reach")
		}
		if l.isLocal() && l.TLS {
			found.add(key+".tls", "is true", "set it to false: what is for operators speaks plain HTTP, on an address that others do not reach or behind a proxy")
		}
		if l.offers(resourceMetrics) && !s.EnableMetrics {
			found.add("enable_metrics", "is false, and "+key+" offers metrics", "set it to true, or remove the listener")
		}
	}
	s.checkAdmin(found)
	if s.MetricsCompat != "" && s.MetricsCompat != compatSynapse {
		found.add("metrics_compat", fmt.Sprintf("is %q", s.MetricsCompat), fmt.Sprintf("write %q or leave it out", compatSynapse))
	}
	for i, name := range s.FederationMetricsDomains {
		if _, err := ident.ParseServerName(name); err != nil {
			found.add(fmt.Sprintf("federation_metrics_domains[%d]", i), err.Error(), "write the name of a server")
		}
	}
	if n := len(s.FederationMetricsDomains); n > maxMetricsDomains {
		found.add("federation_metrics_domains", fmt.Sprintf("has %d names", n), fmt.Sprintf("at most %d: each is a series of its own", maxMetricsDomains))
	}
}

// checkAdmin finds what is wrong with who may use the admin API.
func (s *settings) checkAdmin(found *faults) {
	offered := slices.ContainsFunc(s.Listeners, func(l listener) bool { return l.offers(resourceAdmin) })
	const fix = "name a file with a secret that nobody guesses in its first line: openssl rand -base64 24 > admin.token"
	if s.AdminTokenPath == "" {
		if offered {
			found.add("admin_token_path", "is missing, and a listener offers admin", fix)
		}
		return
	}
	if _, err := s.adminToken(); err != nil {
		found.add("admin_token_path", err.Error(), fix)
	}
}

// adminToken is what users of the admin API must have, "" for no API.
func (s *settings) adminToken() (string, error) {
	if s.AdminTokenPath == "" {
		return "", nil
	}
	text, err := os.ReadFile(s.AdminTokenPath)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	token := strings.TrimSpace(line)
	if len(token) < adminapi.MinToken {
		return "", fmt.Errorf("%s holds %d characters, of %d at least", s.AdminTokenPath, len(token), adminapi.MinToken)
	}
	return token, nil
}

const (
	compatSynapse = "synapse"
	// maxMetricsDomains keeps a page of metrics one that can be read.
	maxMetricsDomains = 100
)

// newMetrics makes the metrics that settings without faults ask for.
func (s *settings) newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Config{
		ServerName: s.ServerName, Version: softwareVersion(), Domains: s.FederationMetricsDomains,
		Synapse: s.MetricsCompat == compatSynapse,
	})
}
