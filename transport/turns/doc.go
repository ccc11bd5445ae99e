// SPDX-License-Identifier: Apache-2.0

// Package turns shares out the processor among those whose requests keep it busy. What parses and verifies does so in a turn; there
// are as many turns at one time as there are cores, and the next goes to the party that has waited longest since its last. So whoever
// sends little waits for one turn of each other party, however much that one sends.
//
//	Do(ctx, work) ──► a free core? ──yes──► work ──────────────────────────┐
//	                       │ no                                             │ done
//	                       ▼                                                ▼
//	           party a: ▪▪▪▪▪▪▪▪                              first of the next party
//	           party b: ▪            ──► round and round ──►         in the round
//	           party c: ▪▪
//
// Work does not wait, neither for the network nor for the store, or the others would wait with it; and it is short, for nobody
// interrupts it. The package knows nothing of requests, and does not bound how many wait: whoever lets them in does.
package turns
