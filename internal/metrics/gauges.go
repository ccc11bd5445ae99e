// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
)

const (
	// freshness is how often the server is looked at, whoever asks how often: each time costs the store a short read.
	freshness = 5 * time.Second
	// patience is how long a look may take. Prometheus gives up after 10 seconds.
	patience = 5 * time.Second
	// maxCounted bounds what is counted of each kind, so that a look is short however much waits.
	maxCounted = 100_000
)

// Standing is how things are at one moment.
type Standing struct {
	Pending      persistence.Pending
	Destinations transaction.Census
	// Documents, Records and Keys are entries of caches: well-known documents, answers of the DNS, servers with their keys.
	Documents, Records, Keys int
	// Files are sizes in bytes: of the database and of its log.
	Database, WAL int64
	// CertificateExpiry is the end of the certificate that we show, zero when it is not known.
	CertificateExpiry time.Time
	// Syncs are those of clients, of a homeserver: how many wait, and since the start, how many were woken and had something to say, or not.
	Syncs struct {
		Waiting          int
		Told, ForNothing int64
	}
}

// Look finds out how things are.
type Look func(context.Context) (Standing, error)

// gauges is a prometheus.Collector of what is, as opposed to what happened, and of what others count (names that end in _total).
type gauges struct {
	look Look

	mu     sync.Mutex // held while looking: whoever else asks waits for the same answer
	looked time.Time
	last   Standing
	err    error
}

// gauge is one of them.
type gauge struct {
	name, help, label string
	values            func(s Standing, now time.Time, set func(value float64, labelled ...string))
}

// gaugeTable is all of them.
var gaugeTable = []gauge{
	{"queue_items", "Items of the outbound log that some server has still to get, whatever the number of servers: pdu, edu.", labelClass,
		func(s Standing, _ time.Time, set func(float64, ...string)) {
			set(float64(s.Pending.PDUs), "pdu")
			set(float64(s.Pending.EDUs), "edu")
		}},
	{"queue_oldest_seconds", "Age of the first of them.", "",
		func(s Standing, now time.Time, set func(float64, ...string)) { set(age(s.Pending.OldestQueued, now)) }},
	{"destinations", "Servers that anything was ever sent to, by where they stand: idle, parked, ready, sending, waiting (failed), held.", labelState,
		func(s Standing, _ time.Time, set func(float64, ...string)) {
			d := s.Destinations
			set(float64(d.Idle), "idle")
			set(float64(d.Parked), "parked")
			set(float64(d.Ready), "ready")
			set(float64(d.Sending), "sending")
			set(float64(d.Waiting), "waiting")
			set(float64(d.Held), "held")
		}},
	{"staged_pdus", "Events that came and are not judged: ready, quarantined (references are missing).", labelState,
		func(s Standing, _ time.Time, set func(float64, ...string)) {
			set(float64(s.Pending.Ready), "ready")
			set(float64(s.Pending.Quarantined), "quarantined")
		}},
	{"staged_oldest_seconds", "Age of the first event that is ready to be judged.", "",
		func(s Standing, now time.Time, set func(float64, ...string)) { set(age(s.Pending.OldestReady, now)) }},
	{"cached_entries", "Entries of caches: well_known, dns, keys.", labelClass,
		func(s Standing, _ time.Time, set func(float64, ...string)) {
			set(float64(s.Documents), "well_known")
			set(float64(s.Records), "dns")
			set(float64(s.Keys), "keys")
		}},
	{"store_bytes", "Sizes of the database's files: database, wal.", labelClass,
		func(s Standing, _ time.Time, set func(float64, ...string)) {
			set(float64(s.Database), "database")
			set(float64(s.WAL), "wal")
		}},
	{"certificate_expiry_timestamp_seconds", "When the certificate that we show to others ends; not there behind a proxy.", "",
		func(s Standing, _ time.Time, set func(float64, ...string)) {
			if !s.CertificateExpiry.IsZero() {
				set(float64(s.CertificateExpiry.Unix()))
			}
		}},
	{"client_syncs_waiting", "Clients' syncs that wait for something to happen.", "",
		func(s Standing, _ time.Time, set func(float64, ...string)) { set(float64(s.Syncs.Waiting)) }},
	{"client_syncs_woken_total", "Clients' syncs that waited and were woken: told, nothing (which none should be).", labelState,
		func(s Standing, _ time.Time, set func(float64, ...string)) {
			set(float64(s.Syncs.Told), "told")
			set(float64(s.Syncs.ForNothing), "nothing")
		}},
}

// age is how long ago a time in ms is, 0 for none.
func age(ms int64, now time.Time) float64 {
	if ms == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMilli(ms)).Seconds())
}

func (g gauge) kind() prometheus.ValueType {
	if strings.HasSuffix(g.name, "_total") {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

func (g gauge) desc() *prometheus.Desc {
	var labels []string
	if g.label != "" {
		labels = []string{g.label}
	}
	return prometheus.NewDesc(prefix+g.name, g.help, labels, nil)
}

// Describe implements prometheus.Collector.
func (*gauges) Describe(to chan<- *prometheus.Desc) {
	for _, g := range gaugeTable {
		to <- g.desc()
	}
}

// Collect implements prometheus.Collector.
func (c *gauges) Collect(to chan<- prometheus.Metric) {
	standing, err := c.standing()
	now := time.Now()
	for _, g := range gaugeTable {
		desc := g.desc()
		if err != nil {
			to <- prometheus.NewInvalidMetric(desc, err)
			continue
		}
		g.values(standing, now, func(value float64, labelled ...string) {
			to <- prometheus.MustNewConstMetric(desc, g.kind(), value, labelled...)
		})
	}
}

func (c *gauges) standing() (Standing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looked.IsZero() || time.Since(c.looked) >= freshness {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c.last, c.err = c.look(ctx)
		c.looked = time.Now()
	}
	return c.last, c.err
}
