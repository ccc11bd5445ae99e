// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

// requests is HTTP in both directions.
type requests struct {
	sent      counters
	served    grid
	seconds   map[string]prometheus.Observer
	bytes     counters
	panics    prometheus.Counter
	faults    prometheus.Counter
	wellKnown counters
}

func newRequests(f family) requests {
	return requests{
		sent:      f.counters("requests_sent_total", "Requests to other servers, by how they ended.", labelClass, failures),
		served:    f.grid("requests_served_total", "Requests of other servers, by endpoint and status.", [2]string{labelClass, labelState}, endpointKinds(), statuses),
		seconds:   f.histograms("request_duration_seconds", "How long requests took.", labelDirection, directions),
		bytes:     f.counters("request_bytes_total", "Bodies of our requests to other servers (out) and of the answers (in).", labelDirection, directions),
		panics:    f.counter("panics_total", "Handlers that panicked: defects."),
		faults:    f.counter("connection_faults_total", "Inbound connections that failed before a request: TLS handshakes, too many of one address."),
		wellKnown: f.counters("well_known_requests_total", "Well-known documents asked for: delegated, none.", labelState, []string{"delegated", "none"}),
	}
}

func (r requests) count(e trace.Event) {
	switch e := e.(type) {
	case trace.TransportSent:
		r.sent.of(cmp.Or(e.Class, persistence.ClassOK)).Inc()
		r.seconds[out].Observe(e.Took.Seconds())
		r.bytes.of(out).Add(float64(e.Sent))
		r.bytes.of(in).Add(float64(e.Received))
	case trace.TransportServed:
		r.served.of(endpoints[e.Route], statusClass(e.Status)).Inc()
		r.seconds[in].Observe(e.Took.Seconds())
	case trace.TransportPanic:
		r.panics.Inc()
	case trace.TransportConnection:
		r.faults.Inc()
	case trace.TransportWellKnown:
		r.wellKnown.of(either(e.Delegated != "", "delegated", "none")).Inc()
	}
}

// keyFetches is how the signing keys of other servers come.
type keyFetches struct {
	fetches counters
	seconds prometheus.Histogram
}

func newKeyFetches(f family) keyFetches {
	return keyFetches{
		fetches: f.counters("key_fetches_total", "Signing keys asked for, of the server itself or a notary.", labelState, []string{"ok", "failed"}),
		seconds: f.histogram("key_fetch_duration_seconds", "How long that took."),
	}
}

func (k keyFetches) count(e trace.KeysFetched) {
	k.fetches.of(either(e.Error == "", "ok", "failed")).Inc()
	k.seconds.Observe(e.Took.Seconds())
}

// store is what the database does.
type store struct {
	commits    counters
	jobs       counters
	statements prometheus.Counter
	seconds    prometheus.Histogram
	panics     prometheus.Counter
}

func newStore(f family) store {
	return store{
		commits:    f.counters("store_commits_total", "Transactions of the store: done, lost.", labelState, []string{"done", "lost"}),
		jobs:       f.counters("store_jobs_total", "Callers' jobs in them: done, failed (alone), lost (with the whole transaction).", labelState, []string{"done", "failed", "lost"}),
		statements: f.counter("store_statements_total", "SQL statements run in them."),
		seconds:    f.histogram("store_commit_seconds", "From the first statement of a transaction until it is on disk."),
		panics:     f.counter("store_panics_total", "Jobs that panicked: defects."),
	}
}

func (s store) count(e trace.Event) {
	switch e := e.(type) {
	case trace.StoreCommit:
		s.commits.of("done").Inc()
		s.jobs.of("done").Add(float64(e.Jobs))
		s.jobs.of("failed").Add(float64(e.Failed))
		s.statements.Add(float64(e.Statements))
		s.seconds.Observe(e.Took.Seconds())
	case trace.StoreCommitFailed:
		s.commits.of("lost").Inc()
		s.jobs.of("lost").Add(float64(e.Jobs))
	case trace.StorePanic:
		s.panics.Inc()
	}
}
