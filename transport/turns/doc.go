// SPDX-License-Identifier: Apache-2.0

// Package turns shares out the processor among those whose requests keep it busy. What parses and verifies does so in a turn; there
// are as many turns at one time as there are cores, and the next goes to the party that has spent the least time in its turns (start-time
// fair queueing). So whoever sends little waits for the turns that are under way, however many others send how much, and those who send
// much share what is left.
//
//	Do(ctx, work) ──► a free core? ──yes──► work ─────────────────────────────┐
//	                       │ no                                                │ done: its time is charged
//	                       ▼                                                   ▼
//	           party a: ▪▪▪▪▪▪▪▪  812 ms                           first of who has spent the least
//	           party b: ▪         794 ms  ──► least first ──►
//	           party c: ▪▪        811 ms
//
// Who comes after long is taken to have spent what those have who are there, but for a small credit. What was spent is forgotten little by
// little, so that the accounts are those of a moment. Time is that of the clock: work does not wait.
//
// Work does not wait, neither for the network nor for the store, or the others would wait with it; and it is short, for nobody
// interrupts it. The package knows nothing of requests, and does not bound how many wait: whoever lets them in does.
package turns
