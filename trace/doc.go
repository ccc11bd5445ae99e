// SPDX-License-Identifier: Apache-2.0

// Package trace is the one stream of typed events that every layer emits and that logs, metrics, the inspector and test
// assertions consume.
//
//	messaging ─┐
//	pdu ───────┤
//	transaction├──► Sink ──► log │ metrics │ inspector │ assertions of the simulated network
//	transport ─┤
//	persistence┘
//
// The package is a leaf: it imports nothing of Strata, so identifiers are plain strings here. It keeps nothing and starts no
// goroutine; what an event means is written at its type, in the file named after its layer.
package trace
