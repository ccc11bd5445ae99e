// SPDX-License-Identifier: Apache-2.0

// Package pdu is the engine that keeps rooms: it takes in events of other servers, judges them, makes events of its own, and
// knows the state of every room at each of its events.
//
//	ReceivePDUs ──► P-25 format ──► P-26 signatures, hash ──► judged at once (atonce.go), or staged: in the job that keeps the reply
//	                     │ malformed, unsigned: dropped                │
//	                     ▼                                             ▼           one turn at a time per room
//	               record of why                    references known? ──no──► quarantined ──► search ──┐
//	                                                           │yes               ▲   asks other servers│
//	                                                           ▼                  └──── arrives ◄───────┘
//	    Send ─────────► built on the extremities ──► P-27 own auth events ─✗─► rejected
//	    AcceptMembership ───────────────────────►    P-28 state before    ─✗─► rejected
//	                                                 P-29 current state   ─✗─► soft-failed
//	                                                 P-30 policy server   ─✗─► soft-failed, when it has been asked (policy.go)
//	                                                           │ accepted
//	                                                           ▼
//	            one job: event, state tree, extremities, current state, position, outbound queue
//
// A room belongs to whoever has its turn: a goroutine that is started when the room has work and ends when it has none (see
// schedule.go). In a turn, callers come first and then what is staged; everything that is decided is gathered in a batch and
// stored in one job (see batch.go, commit.go). The memory holds nothing that the store does not: after a crash the staged
// events are judged, and nothing else is to be done. Who brings events to rooms that nobody works on takes their turns, and stores what
// is judged with the reply (see atonce.go).
//
// Every event that is not plainly accepted leaves a Verdict with the checks in order, the rule that decided and the events that each
// check looked at (see explain.go); what ended as it did because of an event is found from it (see dependents.go). An event whose
// references are missing is quarantined: it is judged when the last of them arrives, from wherever, and until then the servers of
// the room are asked, at once as long as that brings something, else at growing intervals, under a budget (see search.go). When
// nobody gives its parents, the state before it is asked for, from several servers, and it has its place on that: the parents
// become gaps of the room (see statefetch.go, placement.go). What that state says anew of users of ours is sought and delivered too (see untold.go). After 30 days, and not before 100 searches, it is given up, with a record (see quarantine.go).
//
// Who is removed from a room is given nothing of it any more: a removal of our users that waits is believed, and the room left,
// when its server refuses us (see removal.go).
//
// History, what is before a join of ours or a gap, is fetched when someone asks for it, and a little of it before (backfill_ahead.go). It is verified and judged like anything else,
// but not by the present, and is neither delivered nor ever an extremity (see backfill.go).
//
// An event of a transaction whose signing key is not to be had is kept aside, unverified, and tried again for a day (see
// unverified.go). A staged event that cannot be judged for a fault of the store rests, and the others of its room go on.
//
// An outlier is an event that is known only as part of a state or of an auth chain. Others can rest on it, but its place in the
// graph, and so the state at it, is not known.
//
// An event of which a tampered copy came first is known by what redaction leaves of it, until a copy comes whose content hash is good:
// then it is whole, and told anew (see restore.go).
//
// A redaction is held back from subscribers until it takes effect: then its target is stored, and served everywhere, as redaction
// leaves it (see redaction.go).
//
// Other servers in a room are given its history as they may see it, redacted where they may not (see sight.go, pdu/visibility), its
// state and auth chains whole or not at all (see chain.go), and the dearer of their requests one after another (see turnstile.go).
//
// A resolution after which the room has older state again, though nobody has changed it back, leaves an Alarm with its trace (see
// alarm.go).
//
// Forward extremities beyond a few are merged after a while, and capped (see extremities.go).
//
// A room that was joined without its members is partial (see partial.go): its whole state is fetched in the background, and what came
// meanwhile is judged again. So is, on demand or of itself, what rests on an event that ended otherwise than before (see again.go).
// If the room is left before that, and joined again, what came in the first stay loses its place in the graph, and is history.
//
// Where things are:
//
//	receipt              receive atonce stage_format stage_signature unverified arrival; what a further copy says: restore
//	a room's work        engine schedule appointments turn batch commit; what is read and kept in memory: room rooms read memory recent
//	judging              judge stage_authevents stage_statebefore stage_current stage_policy; policy; verdicts: verdict explain dependents
//	state                resolution alarm; the graph's ends: extremities
//	missing references   search search_run ask quarantine removal; a state from elsewhere: statefetch given placement untold
//	history asked for    gaps backfill backfill_place backfill_ahead tenure near
//	redactions           redaction
//	judging again        again again_ask again_heads policy_again rejudge
//	own events           own
//	joins                adopt adoption handover; partial rooms: partial partial_answer completion
//	serving              routes history walk sight chain near access turnstile
//	at an operator's word  fetched compare
//	limits               limits, all of them
//
// The package sends no transaction (the Outbox does), conducts no handshake and calls nobody back (messaging does), and does not act
// as a policy server.
package pdu
