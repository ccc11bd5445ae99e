// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"errors"
	"net/http"
	"slices"
	"time"
)

// pullPath is where servers that were away ask for what they missed.
const pullPath = "/_matrix/federation/unstable/io.github.strata-matrix.since/pull"

// parseStock declares a server not to know how to be pulled from.
func (s *Script) parseStock(words []string) (func(*World), error) {
	if len(words) != 1 || !slices.Contains(s.Servers, words[0]) {
		return nil, errors.New("a server is needed")
	}
	s.Stock = append(s.Stock, words[0])
	return func(*World) {}, nil
}

// parseRestarts has a server end in an orderly way, and be back after the usual pause, or that much later.
func (s *Script) parseRestarts(words []string) (do func(*actor), err error) {
	var away time.Duration
	if len(words) == 1 {
		away, err = duration(words[0])
		words = nil
	}
	if err == nil {
		err = none(words)
	}
	return func(a *actor) {
		a.breathe()
		a.node.leave(away)
	}, err
}

// takeAway gives how much longer the coming pause is, and makes the one after it as long as usual.
func (n *node) takeAway() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	away := n.away
	n.away = 0
	return away
}

// leave ends the present life in an orderly way and has the next begin much later.
func (n *node) leave(away time.Duration) {
	n.mu.Lock()
	n.away = away
	n.mu.Unlock()
	n.close(false)
}

// withoutPull is a server that does not know our own endpoint.
func withoutPull(known http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == pullPath {
			http.Error(w, `{"errcode":"M_UNRECOGNIZED","error":"unknown endpoint"}`, http.StatusNotFound)
			return
		}
		known.ServeHTTP(w, r)
	})
}
