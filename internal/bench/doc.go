// SPDX-License-Identifier: Apache-2.0

// Package bench measures what the stack does for a living, each figure beside its floor: what the same work would cost if nothing
// but the cryptography, or nothing but the requests, had to be done. Figure and floor are taken in turns in one run, since a machine
// is never as quiet twice; what means something elsewhere is their ratio.
//
//	 this process                                      server process
//	┌──────────────────────────────┐                  ┌──────────────────────────────┐
//	│ origins: everything is made  │   TLS, loopback  │ transport ► transaction ►    │
//	│ and signed before the clock  ├─────────────────►│ pdu ► messaging ► callback   │
//	│ starts (internal/load)       │                  │   counts what was delivered  │
//	│ floor: on all cores, between │   orders, JSON   │ database on disk, synced     │
//	│ the rounds                   │◄────────────────►│ CPU time by getrusage        │
//	└──────────────────────────────┘                  └──────────────────────────────┘
//
// The server is the program's own binary, run again (Options.Child), so that its CPU time can be told from that of whoever makes the
// load. Two ratios are given: by the clock, in which the load's own work on the same cores counts against the server, and by the CPU
// time of the server alone, which other programs on the machine hardly touch.
//
// Not here: servers of others (internal/load drives any), and the parts of the stack by themselves, which have Go benchmarks where
// they stand.
package bench
