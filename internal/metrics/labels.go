// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
)

// Names of labels. All but labelServer, which is for the servers that the operator has named, have a closed set of values.
const (
	labelClass     = "class"
	labelState     = "state"
	labelDirection = "direction"
	labelServer    = "server"
	labelVersion   = "version" // of the software; one value
)

// other is counted for what is not in a set.
const other = "other"

// The values of labels. Each set goes with the trace event that gives them.
var (
	// failures are the classes of requests to other servers.
	failures = []string{
		persistence.ClassOK, string(transport.ClassPolicy), string(transport.ClassWellKnown), string(transport.ClassSRV),
		string(transport.ClassDNS), string(transport.ClassDial), string(transport.ClassTLS), string(transport.ClassTimeout),
		string(transport.Class429), string(transport.Class4xxAuth), string(transport.Class4xxContent), string(transport.Class5xx),
		string(transport.ClassNotJSON), string(transport.ClassResting), string(transport.ClassCanceled),
	}
	outcomes   = []string{"accepted", "soft-failed", "rejected", "quarantined"}
	arrivals   = []string{"transaction", "missing events", "event", "auth event", "join"}
	directions = []string{in, out}
	statuses   = []string{"2xx", "3xx", "400", "401", "403", "404", "429", "4xx", "5xx"}
)

const (
	in  = "in"
	out = "out"
)

// endpoints are the kinds of requests of other servers, by the pattern of the route. What a later release adds is "other" until it
// stands here.
var endpoints = map[string]string{
	"/_matrix/federation/v1/send/:txnID":                              "send",
	"/_matrix/federation/v1/event/:eventID":                           "event",
	"/_matrix/federation/v1/event_auth/:roomID/:eventID":              "event_auth",
	"/_matrix/federation/v1/state/:roomID":                            "state",
	"/_matrix/federation/v1/state_ids/:roomID":                        "state_ids",
	"/_matrix/federation/v1/backfill/:roomID":                         "backfill",
	"/_matrix/federation/v1/get_missing_events/:roomID":               "get_missing_events",
	"/_matrix/federation/v1/timestamp_to_event/:roomID":               "timestamp_to_event",
	"/_matrix/federation/v1/make_join/:roomID/:userID":                "make_join",
	"/_matrix/federation/v2/send_join/:roomID/:eventID":               "send_join",
	"/_matrix/federation/v1/make_leave/:roomID/:userID":               "make_leave",
	"/_matrix/federation/v2/send_leave/:roomID/:eventID":              "send_leave",
	"/_matrix/federation/v1/query/profile":                            "query_profile",
	"/_matrix/federation/v1/version":                                  "version",
	"/_matrix/key/v2/server":                                          "key",
	"/_matrix/key/v2/query":                                           "notary",
	"/_matrix/key/v2/query/:serverName":                               "notary",
	"/_matrix/federation/unstable/io.github.strata-matrix.since/pull": "pull",
}

// statusClass is the value for an HTTP status: those that tell different stories apart, the others by their hundreds.
func statusClass(status int) string {
	switch {
	case status == 400:
		return "400"
	case status == 401:
		return "401"
	case status == 403:
		return "403"
	case status == 404:
		return "404"
	case status == 429:
		return "429"
	case status >= 500:
		return "5xx"
	case status >= 400:
		return "4xx"
	case status >= 300:
		return "3xx"
	}
	return "2xx"
}

// values of the endpoints, each once.
func endpointKinds() (kinds []string) {
	seen := map[string]bool{}
	for _, kind := range endpoints {
		if !seen[kind] {
			seen[kind] = true
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// counters is a counter for each value of one label, and one for all others.
type counters struct {
	byValue map[string]prometheus.Counter
	rest    prometheus.Counter
}

func (c counters) of(value string) prometheus.Counter {
	if counter := c.byValue[value]; counter != nil {
		return counter
	}
	return c.rest
}

// grid is a counter for each pair of values of two labels.
type grid struct {
	byValue map[string]counters
	rest    counters
}

func (g grid) of(first, second string) prometheus.Counter {
	if row, known := g.byValue[first]; known {
		return row.of(second)
	}
	return g.rest.of(second)
}

// family registers metrics under our prefix.
type family struct{ registry prometheus.Registerer }

const prefix = "strata_federation_"

func (f family) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	f.registry.MustRegister(c)
	return c
}

func (f family) histogram(name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: durations})
	f.registry.MustRegister(h)
	return h
}

func (f family) histograms(name, help, label string, values []string) map[string]prometheus.Observer {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: durations}, []string{label})
	f.registry.MustRegister(vec)
	made := map[string]prometheus.Observer{}
	for _, value := range values {
		made[value] = vec.WithLabelValues(value)
	}
	return made
}

func (f family) counters(name, help, label string, values []string) counters {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, []string{label})
	f.registry.MustRegister(vec)
	return rowOf(vec, values)
}

func (f family) grid(name, help string, labels [2]string, first, second []string) grid {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels[:])
	f.registry.MustRegister(vec)
	g := grid{byValue: map[string]counters{}, rest: rowOf(vec, second, other)}
	for _, value := range first {
		g.byValue[value] = rowOf(vec, second, value)
	}
	return g
}

// rowOf makes the counters for the values of vec's last label, behind given ones of the labels before it.
func rowOf(vec *prometheus.CounterVec, values []string, before ...string) counters {
	at := func(value string) prometheus.Counter {
		return vec.WithLabelValues(append(before[:len(before):len(before)], value)...)
	}
	c := counters{byValue: map[string]prometheus.Counter{}, rest: at(other)}
	for _, value := range values {
		c.byValue[value] = at(value)
	}
	return c
}

// durations are the bounds of histograms in seconds: from a commit to the longest request.
var durations = []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
