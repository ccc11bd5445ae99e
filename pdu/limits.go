// SPDX-License-Identifier: Apache-2.0

package pdu

import "time"

// What the engine holds in memory at most. A parsed event takes about three times its text.
const (
	recordCacheWeight     = 64 << 20 // bytes of event text
	nodeCacheWeight       = 16 << 20 // bytes of state nodes, which take as much again taken apart
	roomCacheWeight       = 4096     // heads of rooms
	authsCacheWeight      = 4 << 20  // references from event to auth event, at 8 bytes: 300,000 events with 5 of them
	authsWeight           = 8        // what an entry of these weighs besides
	chainCacheWeight      = 1 << 20  // events in auth chains of states, at 16 bytes
	aclCacheWeight        = 256      // server access control lists, of at most 64 KiB each
	resolutionCacheWeight = 16_384   // resolutions, of some 150 bytes
	maxRecent             = 4096     // positions, of 40 bytes, for subscribers that are no further behind
)

// How much is done at a time.
const (
	maxTurns       = 32    // rooms worked on at once; most of a turn is waiting for the commit that all of them share
	maxTasks       = 64    // own events of a room that share a commit
	maxQueuedTasks = 256   // callers that may wait for one room
	maxJudged      = 200   // staged events judged in a turn; larger commits gain nothing
	maxClosed      = 5_000 // events of a gap that are judged in a turn; beyond it the room is seen with the gap half closed
	loadChunk      = 200   // events that are read in one job, so that others get their turn
	citingPage     = 64    // citing events that are read at a time; the first few nearly always decide
)

// What we send.
const maxOwnPrevEvents = 20 // P-04

// Budgets of what other servers can make us keep or do.
const (
	maxStaged       = 20_000 // staged events of a room, quarantined ones included; beyond it PDUs are refused
	maxFetched      = 20_000 // likewise of those that we asked for: they take no places of what is sent to us
	excessFetched   = 15_000 // beyond it the oldest of the server that gave most of them are given up
	reservedStaged  = 5_000  // places beyond maxStaged, for servers that have few in the room
	fairShare       = 500    // so many are few
	maxQuarantined  = 5_000  // quarantined events of a room that one server sent; beyond it its PDUs are refused
	maxSearches     = 8      // rooms for which missing events are sought at once
	maxSought       = 20     // quarantined events that one search is made for
	maxFromGap      = 50     // events asked for in get_missing_events; Synapse gives 20, we give so many
	maxAskedServers = 3      // servers asked for the same thing in one search
	maxSingleEvents = 20     // events fetched one by one in a search
	maxHeld         = 1_000  // fetched events that are held back; others become extremities at once
	maxEdges        = 1_000  // rejected or soft-failed ancestors looked through for extremities
	searchTimeout   = 2 * time.Minute

	maxSearchRequests = 500       // of one search: those for its gaps, events and states
	maxSearchBytes    = 512 << 20 // likewise, of answers
	maxRoomRequests   = 3_600     // of the searches for a room in budgetPeriod: one a second
	maxRoomBytes      = 4 << 30   // likewise: a gigabyte for each of a few large states
	maxGap            = 5_000     // events of gaps that wait in a room; before the next one the state is asked for instead
	stateAfter        = 2         // searches that were in vain before the state before an event is asked for
	stateAfterSilence = 8         // likewise, when servers did not answer: some 40 minutes
	maxRemovals       = 1_000     // quarantined events among which a removal of ours is looked for
	maxGivenUp        = 200       // quarantined events that are given up in one job

	maxUnverified         = 5_000 // events that wait for a key, of all origins: at most some 320 MB; beyond it they are dropped
	maxUnverifiedOfOrigin = 200   // those of one origin
	maxVerifiedAgain      = 50    // of them, how many are looked at together
	maxCopies             = 1_000 // further copies of a room's events that wait for its turn
	requestTimeout        = 30 * time.Second
)

// A state that is asked for (P-87, P-93).
const (
	maxStateServers  = 6       // servers asked for the state at one event
	maxStateAnswers  = 3       // answers that are compared; one liar among them is outvoted
	maxEventText     = 1 << 20 // of one event in an answer: 64 KiB in canonical form, with escapes six times as long, and unsigned
	maxGivenState    = 200_000 // events of a state, and of its auth chain; the largest known rooms have some 100,000
	maxStateIDsReply = 32 << 20
	maxStateReply    = 256 << 20        // as much as for a join in all: 200,000 events of 1.3 KiB
	fewSingleEvents  = 10               // so many missing events are fetched one by one however small the state is
	wholeStateFrom   = 10               // from one missing event in ten on the whole state is asked for, as Synapse does
	maxStateSingles  = 200              // missing events that are fetched one by one
	stateTimeout     = 12 * time.Minute // for all that one state takes: a server that never ends must leave time for the others
	stateIDsTimeout  = time.Minute      // for the ids by one server, of which maxStateServers are asked
	wholeTimeout     = 3 * time.Minute  // for the events by one server

	maxStateRequests = maxStateServers + maxStateAnswers + 2*maxStateSingles // ids, the whole from those that agree, single events
	maxStateBytes    = maxStateServers*maxStateIDsReply + maxStateReply
)

// Policy servers.
const (
	policyTimeout    = 10 * time.Second // for one answer; the specification has no figure
	policyPatience   = time.Minute      // for the answers about maxPolicyAsked events
	policyLease      = 5 * time.Minute  // an event that waits for an answer is judged anew after it, should nobody ask any more
	maxPolicyAsked   = 50               // events that a policy server is asked about together
	maxPolicyAtOnce  = 4                // requests to one at a time
	maxPolicyQueue   = 1_000            // events of a room that wait to be asked about; others wait for the end of their lease
	maxPolicyRooms   = 8                // rooms whose policy servers are asked at once
	maxPolicyReply   = 16 << 10         // an answer holds one signature
	maxPolicyChanges = 3                // how often an event of ours goes to a policy server, should the room change it meanwhile
)

// Forward extremities.
const (
	mergeAbove      = 10               // so many are left alone, as Synapse does
	maxExtremities  = 256              // beyond it new ones must follow one of them; tuwunel's emergency cap
	mergeWait       = 2 * time.Minute  // before a merge, and between two
	mergeWaitUrgent = 10 * time.Second // likewise beyond half of maxExtremities
	mergeSpread     = 4                // by so many times the wait it is longer, at random: other servers merge too
	mergeRest       = time.Hour        // after which it is tried again where nobody of ours may send
	mergeTimeout    = time.Minute
	maxMerging      = 4 // rooms in which extremities are merged at once
	maxSenders      = 5 // users of ours who are tried for it
)

// Alarms. Concurrent changes give back single slots now and then, and a ban takes back what its target did: that is what state
// resolution is for.
const (
	alarmSlots      = 3     // slots that go back without a cause ring, of those that are not vital
	alarmSlotsTaken = 50    // so many ring even if somebody's power was taken
	maxAlarmSlots   = 100   // slots that a record lists
	maxAlarmTrace   = 1_000 // entries of each part of a resolution's trace that a record has
)

// Partial rooms, and events that are judged again.
const (
	maxCompletions = 4               // rooms whose whole state is fetched at once
	keyAttempts    = 12              // attempts at a state in which keys are missing, over some four hours; then it is taken without what they signed
	maxAgain       = 5_000           // events that a commit of those judged again changes
	rescueAfter    = 5 * time.Minute // from when an event has turned to when those that rest on it are judged again
)

// History that is asked for.
const (
	maxBackfilled      = 10_000           // events of one call
	maxBackfillServers = 5                // servers asked for the same piece
	maxFollowers       = 2                // of them, those asked first because they sent what comes after it
	maxListedGaps      = 1_000            // that progress lists
	maxRecalling       = 2                // rooms whose history is fetched unasked at once
	recallWait         = 10 * time.Second // before that, and up to as much again, at random
	maxEdgeStates      = 10               // states fetched for one piece; what else is at its edge waits for the next
)

// What we serve.
const (
	maxServedMissing  = 50      // events in a reply to get_missing_events
	maxServedBackfill = 100     // events in a reply to backfill
	defaultMissing    = 10      // E-09
	maxNamedEvents    = 50      // events that a request may name; more are ignored
	maxWalked         = 2_000   // events looked at for one request
	maxTooDeep        = 50      // of them, those below min_depth: depths are their senders' word, and what is behind them may not be
	nearPage          = 20      // events near a time that are read at once
	nearGap           = 5       // events after a time that are looked at for missing history before them
	maxServed         = 8       // requests for history and state at one time: each reads much of what one goroutine reads for all
	maxServedOfServer = 2       // those of one server
	maxServeWaiting   = 16      // requests of a server that may wait for one before them
	maxAuthChain      = 200_000 // events in an auth chain; the longest known are below 100,000
	maxHeroes         = 5       // of a room without a name, as the client-server API has them
)

// What finding the event nearest to a time may cost (E-13).
var nearBudget = spending{requests: maxAskedServers, bytes: 256 << 10}

const nearReply = 64 << 10

// maxMeetings is in how many rooms a user of another server is looked for, in a job of the store: a server that asks for it a hundred
// times in one transaction costs as many looks at the states of so many rooms, some 100 ms.
const maxMeetings = 200

// maxServeWait is how long a request waits for those before it: less than the half minute that impatient peers wait altogether.
const maxServeWait = 10 * time.Second

// When things are tried again.
const (
	retryFirst     = 10 * time.Second // missing references, doubled each time
	retryMost      = time.Hour
	retryFailure   = 5 * time.Second     // a room whose turn failed
	retryResting   = time.Hour           // an event all of whose missing references are staged: they wake it
	budgetPeriod   = time.Hour           // of what a room may spend on searches
	idleWait       = time.Hour           // the scheduler looks at its list at least this often
	keptUnverified = 24 * time.Hour      // an event whose key is still not to be had after so long is dropped
	keptWaiting    = 30 * 24 * time.Hour // likewise one whose references are
	keptSearches   = 100                 // but not before so many searches, some four days: this server may have been down
)
