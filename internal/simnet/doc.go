// SPDX-License-Identifier: Apache-2.0

// Package simnet runs whole servers against each other on a network that misbehaves, on virtual time, and checks what must hold
// whatever the network did.
//
//	testdata/*.txt ── Parse ──► Script                 Seed ──► Stream(label) ──► every draw
//	                              │
//	┌─ World, in a synctest bubble ▼────────────────────────────────────────────────────────┐
//	│ actor a    actor b    actor c       users: do what the script says, one after the other│
//	│    │          │          │                                                             │
//	│ ┌──▼───┐   ┌──▼───┐   ┌──▼───┐      nodes: a messaging.Server and its file, killed at  │
//	│ │ node │   │ node │   │ node │      commit points and opened again; a Journal of its   │
//	│ └──┬───┘   └──┬───┘   └──┬───┘      callbacks over all lives                           │
//	│    └──────────┼──────────┘                                                             │
//	│            Network       liar ◄──── late, lost, unanswered, twice, cut, severed;       │
//	│            Ledger                   watches every link of honest servers               │
//	└───────────────┬────────────────────────────────────────────────────────────────────────┘
//	                ▼
//	  Snapshots, Acknowledged ──► Invariants ──► what is wrong, by seed, server and event
//
// A liar is a server whose user forges and whose answers lie; behind it runs an honest server, which tells it what there is to lie
// about. It has its own keys and no others. What must hold, must hold for the honest servers: they end with one state, the events
// that a liar gave to some of them included; they lack nothing that an honest server made; nothing that they accepted is without
// its sender's signature, by the keys that the servers really have; nobody has power or has lost a ban against the script; and
// what liars made them keep is little. What a liar's event waits for may be had by nobody: such an event may wait on.
//
// One of the servers may be the room's policy server. What it has not signed nobody accepts who was there; but what it could not be
// asked about at the time some accept and others do not.
//
// Users who are invited or knock stand outside of the room until they are in: their servers have to tell their homeservers so, in the
// job that makes it so, and the end of it too, whoever brings that about and whoever is killed at the time.
//
// Honest servers may ail: take transactions slowly, or without being able to say so, answer nonsense, or never take certain events,
// which then have to come to them in another way. They may have forgotten what was said, and give states only. They may be stock, and not know how to be asked for what somebody missed: whoever is
// back after long asks all of them, and what it is given on demand is held to the same rules as what is sent.
//
// Each user has a device, to which others write. What is written is noted in the job that queues it, and what comes in the job that
// acknowledges it, in tables of the simulation's own beside the server's: both lists must be the same, whoever was killed when.
// Likewise with lists of devices (desk), where users change them: whoever shares the room must end with the lists as they are.
//
// A scenario is a page of text; see Parse for its language. Two of them are made up anew by each seed (see ByChance, Outages). At its end the network becomes calm, everything under way ends, and
// each server says one last thing, so that all have seen the same. Then the invariants are judged, by what the servers' files
// hold and not by what happened on the way.
//
//	go test ./internal/simnet                                    fixed seeds
//	go test ./internal/simnet -run TestScenarios -seeds 50       fresh seeds only
//	go test ./internal/simnet -run TestScenarios -scenario storm -seed 7 -timeline
//	go test ./internal/simnet -run TestAway -away 5000           a server misses 5,000 events in 20 rooms
//
// What a seed fixes: the room version, what each user does and when, signing keys, room ids, the crashes with the pauses after
// them, the jitter of retries and of all that is done later, which callbacks fail, and for each request its fate, by sender, receiver,
// endpoint and how many of that kind went before. What it does not fix: which of several goroutines that are ready at the same virtual
// instant runs first, the choice of select between ready channels, and the order of maps. On one processor, which is how tests run
// here but for the race detector, that hardly matters: the same things happen at the same times (TestRunsRepeat), though a busy machine
// now and then makes a difference. With more (-procs 2) the same faults soon meet another course of events, which is worth a try with a
// seed that found nothing; a failure that came so may need some replays: add -count 10.
//
// Not here: liars that act together, or on the network between others; loss of power (a kill loses what was not
// committed, never what was), TLS and name resolution, and the speed of anything.
package simnet
