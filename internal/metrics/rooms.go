// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-matrix/strata/trace"
)

// rooms is what becomes of events.
type rooms struct {
	arrived        counters
	refused        prometheus.Counter
	judged         counters
	waited         prometheus.Histogram
	redacted       prometheus.Counter
	searches       counters
	searchRequests prometheus.Counter
	alarms         counters
	policy         counters
	failed         prometheus.Counter
	joins          counters
	callbacks      prometheus.Counter
}

func newRooms(f family) rooms {
	return rooms{
		arrived:        f.counters("arrived_pdus_total", "Unknown PDUs that came, by how they came.", labelClass, arrivals),
		refused:        f.counter("refused_pdus_total", "PDUs that were not taken in: malformed, badly signed, kept out by an access control list."),
		judged:         f.counters("judged_pdus_total", "Verdicts on events, our own included.", labelState, outcomes),
		waited:         f.histogram("judge_delay_seconds", "From the receipt of an event to its verdict, the wait for missing references included."),
		redacted:       f.counter("redactions_total", "Redactions that took effect."),
		searches:       f.counters("searches_total", "Searches for missing events that ended: found, nothing.", labelState, []string{"found", "nothing"}),
		searchRequests: f.counter("search_requests_total", "Requests made by searches for missing events."),
		alarms:         f.counters("state_alarms_total", "Resolutions that gave older state back: mild, severe.", labelState, []string{"mild", "severe"}),
		policy:         f.counters("policy_events_total", "Events shown to policy servers: signed, unsigned.", labelState, []string{"signed", "unsigned"}),
		failed:         f.counter("room_failures_total", "Times the work on a room was given up for now."),
		joins:          f.counters("joins_total", "Joins and leaves over another server: done (joins only), failed (each server asked).", labelState, []string{"done", "failed"}),
		callbacks:      f.counter("callback_failures_total", "Callbacks of the homeserver that returned an error."),
	}
}

func (r rooms) count(e trace.Event) {
	switch e := e.(type) {
	case trace.PDUReceived:
		r.arrived.of(e.Arrival).Inc()
		if e.Problem != "" {
			r.refused.Inc()
		}
	case trace.PDUJudged:
		r.judged.of(e.Outcome).Inc()
		r.waited.Observe(e.Waited.Seconds())
	case trace.PDURedacted:
		r.redacted.Inc()
	case trace.PDUSought:
		r.searches.of(either(e.Found > 0, "found", "nothing")).Inc()
		r.searchRequests.Add(float64(e.Asked))
	case trace.PDUStateAlarm:
		r.alarms.of(either(e.Severe, "severe", "mild")).Inc()
	case trace.PDUPolicyAsked:
		r.policy.of("signed").Add(float64(e.Signed))
		r.policy.of("unsigned").Add(float64(max(0, e.Asked-e.Signed)))
	case trace.PDURoomFailed:
		r.failed.Inc()
	case trace.MessagingJoined:
		r.joins.of("done").Inc()
	case trace.MessagingHandshakeFailed:
		r.joins.of("failed").Inc()
	case trace.MessagingCallbackFailed:
		r.callbacks.Inc()
	}
}

func either(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}
