// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// ailment is what is wrong with how a server takes transactions. It is honest, and all else it answers as ever. mu guards it: each
// request comes on a goroutine of its own.
type ailment struct {
	takes func(a *ailment, m *message, honest func() reply) reply
	lasts func(a *ailment, m *message, honest func() reply) reply // what is left of it when it is cured: events that it cannot take

	mu     sync.Mutex
	poison map[string]bool // content hashes of events that it cannot take, for ever
	due    int             // events that are yet to be chosen
}

// ailments are the kinds that there are.
var ailments = map[string]func(*ailment, *message, func() reply) reply{
	"slow": (*ailment).slow, "nonsense": (*ailment).nonsense, "deaf": (*ailment).deaf, "refuses": (*ailment).refuse, "chokes": (*ailment).choke,
}

// slow takes longer than anyone waits over more than a few events, and longer than most over those. It does take them.
func (a *ailment) slow(m *message, honest func() reply) reply {
	const few = 3
	answer := honest()
	if len(hashesIn(m.body)) > few {
		time.Sleep(retryPolicy.AttemptTimeout)
	}
	time.Sleep(retryPolicy.AttemptTimeout / 3)
	return answer
}

// nonsense says 200 for something else, as a parked domain does; it has taken nothing.
func (*ailment) nonsense(*message, func() reply) reply {
	return said(http.StatusOK, "text/html", "<html>This domain is for sale.</html>")
}

// deaf takes everything, and never gets to say so.
func (*ailment) deaf(_ *message, honest func() reply) reply {
	honest()
	return reply{err: errReset}
}

// refuse takes no transaction that holds one of the events that it cannot take.
func (a *ailment) refuse(m *message, honest func() reply) reply {
	if !a.poisoned(m.body) {
		return honest()
	}
	return said(http.StatusBadRequest, "application/json", `{"errcode":"M_BAD_JSON","error":"cannot be taken"}`)
}

// choke fails of such a transaction instead, in one way or another.
func (a *ailment) choke(m *message, honest func() reply) reply {
	switch {
	case !a.poisoned(m.body):
		return honest()
	case len(m.body)%2 == 0:
		return said(http.StatusInternalServerError, "application/json", `{"errcode":"M_UNKNOWN","error":"internal error"}`)
	}
	time.Sleep(2 * retryPolicy.AttemptTimeout)
	return reply{err: errReset}
}

// poisoned looks into a transaction, and chooses what cannot be taken of the first events that come.
func (a *ailment) poisoned(body []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	hashes := hashesIn(body)
	for _, hash := range hashes {
		if a.due > 0 && !a.poison[hash] {
			a.poison[hash] = true
			a.due--
		}
	}
	return slices.ContainsFunc(hashes, func(hash string) bool { return a.poison[hash] })
}

// hashesIn gives the content hashes of the events in a transaction: they stay the same when an event is redacted.
func hashesIn(body []byte) (hashes []string) {
	for _, pdu := range pdusIn(body) {
		hashes = append(hashes, pdu.Hashes.SHA256)
	}
	return hashes
}

// said is a reply that a server gives without looking.
func said(status int, contentType, body string) reply {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.Copy(w, bytes.NewReader([]byte(body))) // a recorder takes everything
	return reply{response: w.Result()}
}

// Ail gives a server an ailment. events is how many events it cannot take, for those that cannot.
func (n *Network) Ail(name, kind string, events int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.ailing[name]
	if a == nil {
		a = &ailment{poison: map[string]bool{}}
		n.ailing[name] = a
	}
	a.takes, a.due = ailments[kind], events
	if events > 0 {
		a.lasts = a.takes
	}
}

// Cure leaves of the ailments only what is for ever: events that a server cannot take.
func (n *Network) Cure() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.ailing {
		if a.takes = nil; len(a.poison) > 0 {
			a.takes = a.lasts
		}
	}
}

// ailmentOf is what is wrong with how the receiver of a message takes it, nil for nothing.
func (n *Network) ailmentOf(m *message) *ailment {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.ailing[m.to]
	if a == nil || a.takes == nil || m.request.Method != http.MethodPut || !strings.HasPrefix(m.request.URL.Path, sendPath) {
		return nil
	}
	return a
}

// parseAil reads what is wrong with a server: slow, nonsense, deaf, refuses 1, chokes 1.
func (s *Script) parseAil(words []string) (func(*World), error) {
	if len(words) < 2 || !slices.Contains(s.Servers, words[0]) || ailments[words[1]] == nil {
		return nil, errors.New("a server and an ailment are needed")
	}
	events := 0
	if kind := words[1]; kind == "refuses" || kind == "chokes" {
		var err error
		if events, err = times(words[2:]); err != nil {
			return nil, fmt.Errorf("how many events: %w", err)
		}
	} else if err := none(words[2:]); err != nil {
		return nil, err
	}
	return func(w *World) { w.Net.Ail(words[0]+".example", words[1], events) }, nil
}

// parseCure reads nothing: those who ail are well again, but for what they cannot take.
func (s *Script) parseCure(words []string) (func(*World), error) {
	return func(w *World) { w.Net.Cure() }, none(words)
}

// sentPDU is what the network looks at of an event on its way.
type sentPDU struct {
	Room   string `json:"room_id"`
	Sender string `json:"sender"`
	Time   int64  `json:"origin_server_ts"`
	Hashes struct {
		SHA256 string `json:"sha256"`
	} `json:"hashes"`
}

// pdusIn reads the events of a transaction; of what is none there are none.
func pdusIn(body []byte) []sentPDU {
	var content struct {
		PDUs []sentPDU `json:"pdus"`
	}
	_ = json.Unmarshal(body, &content) // the ledger says so
	return content.PDUs
}
