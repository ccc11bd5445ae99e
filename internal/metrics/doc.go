// SPDX-License-Identifier: Apache-2.0

// Package metrics makes figures for Prometheus of what a server does and of what waits in it.
//
//	trace events ──► Metrics.Emit ──► counters, histograms ─┐
//	                                                        ├─► GET /metrics ──► and again under Synapse's names
//	store, outbox, caches ── at most every 5 s ──► gauges ──┘
//
// Names begin with strata_federation_, units are seconds and bytes, and counters end in _total. Every label has a closed set of values,
// which stands in labels.go: what is not in it is counted as "other", and all series are there from the start. Rooms and users are never
// labels; servers are only if the operator names them (federation_metrics_domains).
//
// Not here: who may ask. The handler belongs on a listener of its own, never on the one that other servers reach.
package metrics
