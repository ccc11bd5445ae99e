// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// sendPath is where transactions go (E-06).
const sendPath = "/_matrix/federation/v1/send/"

// Ledger watches the links for what holds between any two servers at any time: one transaction in flight (T-02), the same bytes
// under the same id, and each room's events in the order in which their sender made them. What is pulled counts as sent by the one who
// is asked; it is followed by another only when it was acknowledged. mu guards it.
type Ledger struct {
	mu     sync.Mutex
	flying map[string]flight   // by link
	pulled map[string]string   // by link: id of the transaction that was given away on demand, and of which no more was heard
	heard  map[string]bool     // by link and transaction id: those that were given away, and of which more was heard
	bytes  map[string][32]byte // by link and transaction id: hash of the body
	newest map[string]int64    // by link and room: time of the newest of the origin's own events
	sent   map[string]bool     // by link, time and content hash: events that were sent before
	exempt map[string]bool     // senders that keep to nothing
	faults []string
}

// flight is a transaction on its way.
type flight struct {
	txn    string
	pulled bool // as an answer
}

// NewLedger makes an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{flying: map[string]flight{}, pulled: map[string]string{}, heard: map[string]bool{}, bytes: map[string][32]byte{}, newest: map[string]int64{}, sent: map[string]bool{}, exempt: map[string]bool{}}
}

// Faults is what went wrong, in words.
func (l *Ledger) Faults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.faults...)
}

// Distrust exempts what a server sends.
func (l *Ledger) Distrust(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exempt[name] = true
}

// Begin looks at a request that is about to be sent. The function that it returns is called when its sender no longer waits.
func (l *Ledger) Begin(from, to, method string, at *url.URL, body []byte) (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Path == pullPath {
		l.hear(to, from, at.Query().Get("after")) // it is there
	}
	if txn, isTransaction := strings.CutPrefix(at.Path, sendPath); isTransaction && method == http.MethodPut {
		end := l.depart(from, to, flight{txn, false}, body)
		l.hear(from, to, txn) // it is for the sender from now on to know when to send another
		return end
	}
	return func() {}
}

// hear takes note of a sign that a transaction that was pulled may be followed by another.
func (l *Ledger) hear(from, to, txn string) {
	if l.pulled[link(from, to)] == txn {
		delete(l.pulled, link(from, to))
		l.heard[link(from, to)+" "+txn] = true
	}
}

// Give looks at an answer of a server to one who asks for what it missed, of which it makes a transaction that is on its way. The
// function that it returns is called when it is there or lost.
func (l *Ledger) Give(from, to string, body []byte) (end func()) {
	var given struct {
		ID          string          `json:"transaction_id"`
		Transaction json.RawMessage `json:"transaction"`
	}
	if len(body) == 0 {
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := json.Unmarshal(body, &given); err != nil {
		l.fault("%s: what was pulled is not JSON: %.200s", link(from, to), body)
	}
	if given.ID == "" {
		return func() {}
	}
	f := flight{given.ID, true}
	if l.flying[link(from, to)] == f { // the same question came twice
		l.contents(from, to, given.ID, given.Transaction)
		return func() {}
	}
	end = l.depart(from, to, f, given.Transaction)
	if !l.heard[link(from, to)+" "+given.ID] {
		l.pulled[link(from, to)] = given.ID
	}
	return end
}

func link(from, to string) string { return from + " -> " + to }

// depart takes note of a transaction that leaves a server.
func (l *Ledger) depart(from, to string, f flight, body []byte) (end func()) {
	link := link(from, to)
	if l.exempt[from] {
		return func() {}
	}
	if other, flying := l.flying[link]; flying {
		l.fault("%s: transaction %s was sent while %s was in flight", link, f.txn, other.txn)
	}
	if other, open := l.pulled[link]; open && other != f.txn {
		l.fault("%s: transaction %s was sent before anything was heard of %s, which was pulled", link, f.txn, other)
	}
	l.flying[link] = f
	l.contents(from, to, f.txn, body)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.flying, link)
	}
}

// contents checks what is in a transaction: what was in it before, or else events in their order.
func (l *Ledger) contents(from, to, txn string, body []byte) {
	link, hash := link(from, to), sha256.Sum256(body)
	key := link + " " + txn
	if first, known := l.bytes[key]; !known {
		l.bytes[key] = hash
		l.inOrder(link, txn, from, body)
	} else if first != hash {
		l.fault("%s: transaction %s was sent again with other bytes: %.200s", link, txn, body)
	}
}

// inOrder checks that the origin's own events stand in the order of their making. Events that it relays for others may stand
// anywhere, and so may those that it sends again: what a server refused goes out anew.
func (l *Ledger) inOrder(link, txn, origin string, body []byte) {
	if !json.Valid(body) {
		l.fault("%s: transaction %s is not JSON: %.200s", link, txn, body)
	}
	for _, pdu := range pdusIn(body) {
		again := fmt.Sprint(link, " ", pdu.Time, " ", pdu.Hashes.SHA256)
		if !strings.HasSuffix(pdu.Sender, ":"+origin) || l.sent[again] {
			continue
		}
		l.sent[again] = true
		key := link + " " + pdu.Room
		if pdu.Time < l.newest[key] {
			l.fault("%s: transaction %s: an event in %s of %d comes after one of %d", link, txn, pdu.Room, pdu.Time, l.newest[key])
		}
		l.newest[key] = max(l.newest[key], pdu.Time)
	}
}

func (l *Ledger) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}
