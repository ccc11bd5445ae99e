// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

// outbound is what goes to other servers.
type outbound struct {
	attempts     counters
	seconds      prometheus.Histogram
	pdus, edus   prometheus.Counter
	parked       counters
	droppedEDUs  prometheus.Counter
	compacted    prometheus.Counter
	pulls        counters
	storeFailure prometheus.Counter
}

func newOutbound(f family) outbound {
	return outbound{
		attempts:     f.counters("send_attempts_total", "Transactions tried to deliver, by what became of it.", labelClass, failures),
		seconds:      f.histogram("send_duration_seconds", "How long a try to deliver a transaction took."),
		pdus:         f.counter("sent_pdus_total", "PDUs in transactions that were delivered, once for each server."),
		edus:         f.counter("sent_edus_total", "EDUs in transactions that were delivered, once for each server."),
		parked:       f.counters("parked_items_total", "Items set aside because a server refuses them, by the class of the refusal.", labelClass, failures),
		droppedEDUs:  f.counter("dropped_edus_total", "EDUs that gave way to newer ones or waited for too long."),
		compacted:    f.counter("compacted_items_total", "Old items that left the outbound log for the sake of servers far behind."),
		pulls:        f.counters("pulls_total", "Servers asked what they have for us: ok, stock (cannot be asked), failed.", labelState, []string{"ok", "stock", "failed"}),
		storeFailure: f.counter("outbox_store_failures_total", "Times the outbox could not use the store."),
	}
}

func (o outbound) attempted(e trace.TransactionAttempted) {
	o.attempts.of(e.Class).Inc()
	o.seconds.Observe(e.Duration.Seconds())
	if e.Class == persistence.ClassOK {
		o.pdus.Add(float64(e.PDUs))
		o.edus.Add(float64(e.EDUs))
	}
}

func (o outbound) count(e trace.Event) {
	switch e := e.(type) {
	case trace.TransactionParked:
		o.parked.of(e.Class).Inc()
	case trace.TransactionEDUDropped:
		o.droppedEDUs.Add(float64(e.Destinations))
	case trace.TransactionCompacted:
		o.compacted.Add(float64(e.Items))
		o.droppedEDUs.Add(float64(e.DroppedEDUs))
	case trace.TransactionPulled:
		o.pulls.of(pullState(e)).Inc()
	case trace.TransactionStoreFailed:
		o.storeFailure.Inc()
	}
}

func pullState(e trace.TransactionPulled) string {
	switch {
	case e.Stock:
		return "stock"
	case e.Error != "":
		return "failed"
	}
	return "ok"
}

// inbound is the transactions of other servers.
type inbound struct {
	transactions counters
	seconds      prometheus.Histogram
	pdus, edus   prometheus.Counter
}

func newInbound(f family) inbound {
	return inbound{
		transactions: f.counters("received_transactions_total", "Transactions of other servers: new, duplicate, refused.",
			labelState, []string{"new", "duplicate", "refused"}),
		seconds: f.histogram("receive_duration_seconds", "How long a transaction took until its answer was durable."),
		pdus:    f.counter("received_pdus_total", "PDUs in new transactions of other servers."),
		edus:    f.counter("received_edus_total", "EDUs in new transactions of other servers."),
	}
}

func (i inbound) received(e trace.TransactionReceived) {
	i.seconds.Observe(e.Duration.Seconds())
	switch {
	case e.Status >= 400:
		i.transactions.of("refused").Inc()
	case e.Duplicate:
		i.transactions.of("duplicate").Inc()
	default:
		i.transactions.of("new").Inc()
		i.pdus.Add(float64(e.PDUs))
		i.edus.Add(float64(e.EDUs))
	}
}

// domains is when the servers that the operator has named were last sent to and heard from.
type domains struct{ lastSent, lastReceived map[string]prometheus.Gauge }

func newDomains(f family, names []string) domains {
	gauges := func(name, help string) map[string]prometheus.Gauge {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, []string{labelServer})
		f.registry.MustRegister(vec)
		made := map[string]prometheus.Gauge{}
		for _, server := range names {
			made[server] = vec.WithLabelValues(server)
		}
		return made
	}
	return domains{
		lastSent:     gauges("last_sent_timestamp_seconds", "When PDUs were last delivered to a server of federation_metrics_domains since the start, 0 for never."),
		lastReceived: gauges("last_received_timestamp_seconds", "When PDUs last came from a server of federation_metrics_domains since the start, 0 for never."),
	}
}

func (d domains) sent(e trace.TransactionAttempted) {
	if gauge := d.lastSent[e.Destination]; gauge != nil && e.Class == persistence.ClassOK && e.PDUs > 0 {
		gauge.Set(now())
	}
}

func (d domains) received(e trace.TransactionReceived) {
	if gauge := d.lastReceived[e.Origin]; gauge != nil && e.Status < 400 && e.PDUs > 0 {
		gauge.Set(now())
	}
}

func now() float64 { return float64(time.Now().UnixMilli()) / 1000 }
