// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/strata-matrix/strata/trace"
)

// Config is whose figures they are.
type Config struct {
	ServerName, Version string
	// Domains are servers of which it is told apart when they were last heard from and sent to.
	Domains []string
	// Synapse has some figures told a second time under Synapse's names, for dashboards that know those.
	Synapse bool
}

// Metrics counts what is traced: it is a trace.Sink. Its counters may be used by any goroutine, and the rest is immutable.
type Metrics struct {
	config   Config
	registry *prometheus.Registry

	outbound outbound
	inbound  inbound
	rooms    rooms
	requests requests
	keys     keyFetches
	store    store
	domains  domains
}

// New makes metrics that stand at zero, with those of the Go runtime and the process.
func New(config Config) *Metrics {
	m := &Metrics{config: config, registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := family{m.registry}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + "build_info", Help: "The version that runs; always 1."}, []string{labelVersion})
	m.registry.MustRegister(info)
	info.WithLabelValues(config.Version).Set(1)
	m.outbound, m.inbound, m.rooms = newOutbound(f), newInbound(f), newRooms(f)
	m.requests, m.keys, m.store = newRequests(f), newKeyFetches(f), newStore(f)
	m.domains = newDomains(f, config.Domains)
	return m
}

// Emit implements trace.Sink.
func (m *Metrics) Emit(e trace.Event) {
	switch e := e.(type) {
	case trace.TransactionAttempted:
		m.outbound.attempted(e)
		m.domains.sent(e)
	case trace.TransactionReceived:
		m.inbound.received(e)
		m.domains.received(e)
	case trace.PDUReceived, trace.PDUJudged, trace.PDURedacted, trace.PDUSought, trace.PDUStateAlarm, trace.PDUPolicyAsked, trace.PDURoomFailed,
		trace.MessagingJoined, trace.MessagingHandshakeFailed, trace.MessagingCallbackFailed:
		m.rooms.count(e)
	case trace.TransportSent, trace.TransportServed, trace.TransportPanic, trace.TransportConnection, trace.TransportWellKnown:
		m.requests.count(e)
	case trace.StoreCommit, trace.StoreCommitFailed, trace.StorePanic:
		m.store.count(e)
	case trace.KeysFetched:
		m.keys.count(e)
	default:
		m.outbound.count(e)
	}
}
