// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"net/http"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
)

// What a destination refuses for what is in it is found by halving, as values: nothing here waits, sends or stores.
//
// A refusal is an answer: the destination has not taken the transaction, and whoever retries it for ever waits for ever. So it is
// withdrawn, kept for the record, and its id is never used again; what was in it goes out under new ids, in the same order. That
// is where we read T-02, "the same id until 200", by its purpose. Should the destination have taken a withdrawn transaction after
// all (it was refused by silence, say), it gets events again which it knows by their ids.
//
//	refused ─► withdrawn ─► control: one that is empty ──refused──► it is not the contents: back off, and try that one again
//	                              │ taken
//	                              ▼
//	            the first half of what is suspected ◄──┐
//	              │ refused: it is in there    │ taken: it is in the rest
//	              └────────────────────────────┴───────┘
//	                        one item alone, refused ─► parked, and another control before the queue moves on
//
// A server that refuses everything is thus never taken for one that refuses something.

// silences is how often in a row a transaction must end in a failure of the peer, or in no answer, before its contents are
// suspected: with the default back-off after some minutes. And the peer has to answer another request just then.
const silences = 5

// refusedInARow is how many items of one room a destination refuses before it is the room that it refuses.
const refusedInARow = 3

// refuses tells whether the attempts to deliver a transaction, the latest last, say that it is refused for what is in it.
func refuses(attempts []persistence.Attempt) bool {
	if len(attempts) == 0 {
		return false
	}
	needed := implicates(attempts[len(attempts)-1])
	if needed == 0 || len(attempts) < needed {
		return false
	}
	for _, a := range attempts[len(attempts)-needed:] {
		if implicates(a) == 0 {
			return false
		}
	}
	return true
}

// implicates tells how many failures like this one in a row make the contents suspect, 0 for none however many. Gateways answer
// 502 and 503 for servers that are down; 404 and 410 are about the endpoint.
func implicates(a persistence.Attempt) int {
	switch class := transport.Class(a.Class); {
	case a.Status == http.StatusRequestEntityTooLarge:
		return 1
	case class == transport.Class4xxContent && a.Status != http.StatusNotFound && a.Status != http.StatusGone:
		return 1
	case class == transport.Class5xx && (a.Status == http.StatusInternalServerError || a.Status == http.StatusGatewayTimeout):
		return silences
	case class == transport.ClassTimeout && (a.Phase == string(transport.PhaseReply) || a.Phase == ""):
		return silences
	}
	return 0
}

// step is what is done with a refused transaction.
type step int

const (
	keep     step = iota // it goes out again: the contents are not to blame
	withdraw             // others carry what is in it
	park                 // all that is in it is set aside
	postpone             // it tried a parked item again, which stays parked
)

// afterRefusal says what comes after the refusal of a transaction. refusedRoom: all that is in it is of one room, of which
// refusedInARow items are parked and nothing was taken since; to halve would be to go through the room event by event.
func afterRefusal(d persistence.Destination, t persistence.SentTransaction, refusedRoom bool) (persistence.Destination, step) {
	items := len(t.Items)
	switch {
	case t.PDUs+t.EDUs == 0:
		return d, keep
	case t.Parked != 0:
		return d, postpone
	case d.Suspects == 0:
		d.Suspects, d.Control = items, true
		return d, withdraw
	case items > 1 && !refusedRoom:
		d.Suspects = items
		return d, withdraw
	}
	d.Suspects, d.Control = 0, true
	return d, park
}

// afterDelivery is what is suspected once a transaction was taken.
func afterDelivery(d persistence.Destination, t persistence.SentTransaction) persistence.Destination {
	if t.PDUs+t.EDUs == 0 {
		d.Control = false
	}
	d.Suspects = max(0, d.Suspects-len(t.Items))
	return d
}

// batchLimit is how many items the next transaction may hold, 0 for as many as fit.
func batchLimit(d persistence.Destination) int { return (d.Suspects + 1) / 2 }

// Waits of a parked item until it is tried again: refused once more, it doubles.
const (
	parkedFirst = time.Hour
	parkedMax   = 24 * time.Hour
)

// parkedWait is how long an item stays parked that was tried so often since it was. random is from [0, 1).
func parkedWait(tries int, random float64) time.Duration {
	policy := RetryPolicy{First: parkedFirst, Max: parkedMax, Factor: 2, Jitter: evenly}
	return policy.wait(failure{streak: tries + 1}, random)
}
