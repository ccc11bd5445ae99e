// SPDX-License-Identifier: Apache-2.0

package simnet_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/internal/simnet"
)

// site is a network with one server that counts what it is asked.
type site struct {
	*simnet.Network
	life  simnet.Life
	asked atomic.Int64
}

func newSite(f simnet.Faults) *site {
	s := &site{Network: simnet.NewNetwork(7, &simnet.Timeline{})}
	s.SetFaults(f)
	s.Attach("b.example", &s.life, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/_matrix/key/") {
			s.asked.Add(1)
		}
		_, _ = io.Copy(w, r.Body)
	}))
	return s
}

// ask sends a request from a.example and gives the body of the answer, or the error.
func (s *site) ask(t *testing.T, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://b.example/_matrix/federation/v1/x/y", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.From("a.example", &simnet.Life{}).RoundTrip(r)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestNetworkFaults(t *testing.T) {
	const reset, hangs = "connection reset", "context deadline exceeded"
	for _, test := range []struct {
		name    string
		faults  simnet.Faults
		arrange func(*site)
		want    []string // one of them
		asked   int64
	}{
		{"calm", simnet.Calm, nil, []string{"hello"}, 1},
		{"a request is lost", simnet.Faults{Lose: 1}, nil, []string{reset, hangs}, 0},
		{"a reply is lost", simnet.Faults{Unanswered: 1}, nil, []string{reset, hangs}, 1},
		{"a request comes twice", simnet.Faults{Twice: 1}, nil, []string{"hello"}, 2},
		{"a request is replayed", simnet.Faults{Replay: 1}, nil, []string{"hello"}, 4},
		{"a partition", simnet.Calm, func(s *site) { s.Cut([]string{"a.example"}, []string{"b.example"}) }, []string{reset, hangs}, 0},
		{"the same side", simnet.Calm, func(s *site) { s.Cut([]string{"c.example"}, []string{"a.example", "b.example"}) }, []string{"hello"}, 1},
		{"a severed link", simnet.Calm, func(s *site) { s.Sever("b.example", "a.example") }, []string{reset, hangs}, 0},
		{"healed", simnet.Calm, func(s *site) { s.Sever("b.example", "a.example"); s.Heal() }, []string{"hello"}, 1},
		{"a dead server", simnet.Calm, func(s *site) { s.life.End() }, []string{"connection refused"}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(test.faults)
			if test.arrange != nil {
				test.arrange(s)
			}
			got := s.ask(t, "hello")
			s.Wait()
			if !slices.Contains(test.want, got) || s.asked.Load() != test.asked {
				t.Errorf("%s: %q after %d requests arrived, want one of %q after %d", test.name, got, s.asked.Load(), test.want, test.asked)
			}
		})
	}
}

// A seed replays: the same requests meet the same fates, another seed gives others.
func TestFatesReplay(t *testing.T) {
	draw := func(seed simnet.Seed) (fates []simnet.Fate) {
		f := simnet.Faults{Least: time.Millisecond, Most: time.Second, Late: 0.1, Lose: 0.3, Unanswered: 0.3, Twice: 0.3}
		for _, label := range []string{"1", "2", "3"} {
			fates = append(fates, f.Draw(seed.Stream("a b", label)))
		}
		return fates
	}
	if diff := cmp.Diff(draw(1), draw(1)); diff != "" {
		t.Errorf("the same seed gave other fates:\n%s", diff)
	}
	if cmp.Equal(draw(1), draw(2)) {
		t.Error("two seeds gave the same fates")
	}
}

func TestLedger(t *testing.T) {
	const send, other, pull = "/_matrix/federation/v1/send/", "/_matrix/federation/v1/make_join/x", "/_matrix/federation/unstable/io.github.strata-matrix.since/pull"
	pdus := func(events string) []byte { return []byte(`{"pdus":[` + events + `]}`) }
	at := func(address string) *url.URL {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	given := func(txn, events string) []byte {
		return []byte(`{"transaction":` + string(pdus(events)) + `,"transaction_id":"` + txn + `"}`)
	}
	for _, test := range []struct {
		name string
		do   func(l *simnet.Ledger)
		want int
	}{
		{"one after the other", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))()
			l.Begin("a", "b", http.MethodPut, at(send+"2"), pdus(""))()
		}, 0},
		{"again with the same bytes", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))()
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))()
		}, 0},
		{"again with other bytes", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))()
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(`{}`))()
		}, 1},
		{"two in flight", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))
			l.Begin("a", "b", http.MethodPut, at(send+"2"), pdus(""))
		}, 1},
		{"two in flight to two servers", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))
			l.Begin("a", "c", http.MethodPut, at(send+"2"), pdus(""))
			l.Begin("b", "a", http.MethodPut, at(send+"3"), pdus(""))
		}, 0},
		{"a transaction and something else", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))
			l.Begin("a", "b", http.MethodGet, at(other), nil)
		}, 0},
		{"own events out of order", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(`{"room_id":"!r","sender":"@u:a","origin_server_ts":2}`))()
			l.Begin("a", "b", http.MethodPut, at(send+"2"), pdus(`{"room_id":"!r","sender":"@u:a","origin_server_ts":1}`))()
		}, 1},
		{"an own event again, behind newer ones", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(`{"room_id":"!r","sender":"@u:a","origin_server_ts":1},{"room_id":"!r","sender":"@u:a","origin_server_ts":2}`))()
			l.Begin("a", "b", http.MethodPut, at(send+"2"), pdus(`{"room_id":"!r","sender":"@u:a","origin_server_ts":1}`))()
		}, 0},
		{"others' events, and those of another room, in any order", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(`{"room_id":"!r","sender":"@u:a","origin_server_ts":2},{"room_id":"!r","sender":"@u:c","origin_server_ts":1}`))()
			l.Begin("a", "b", http.MethodPut, at(send+"2"), pdus(`{"room_id":"!s","sender":"@u:a","origin_server_ts":1}`))()
		}, 0},
		{"pulled one after the other, the first given twice", func(l *simnet.Ledger) {
			first := l.Give("a", "b", given("1", ""))
			l.Give("a", "b", given("1", ""))()
			first()
			l.Begin("b", "a", http.MethodGet, at(pull+"?after=1"), nil)()
			l.Give("a", "b", given("2", ""))()
			l.Begin("b", "a", http.MethodGet, at(pull+"?after=2"), nil)()
			l.Give("a", "b", []byte(`{}`))()
		}, 0},
		{"pulled, and given again although the next question is on its way", func(l *simnet.Ledger) {
			l.Give("a", "b", given("1", ""))()
			l.Begin("b", "a", http.MethodGet, at(pull+"?after=1"), nil)()
			l.Give("a", "b", given("1", ""))()
			l.Give("a", "b", given("2", ""))()
		}, 0},
		{"pulled with an answer that is lost, and sent", func(l *simnet.Ledger) {
			l.Give("a", "b", given("1", "{}"))()
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus("{}"))()
			l.Begin("a", "b", http.MethodPut, at(send+"2"), pdus(""))()
		}, 0},
		{"pulled, and sent with other bytes", func(l *simnet.Ledger) {
			l.Give("a", "b", given("1", ""))()
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus("{}"))()
		}, 1},
		{"sent while it is pulled", func(l *simnet.Ledger) {
			l.Give("a", "b", given("1", ""))
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))()
		}, 1},
		{"pulled while it is sent", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(""))
			l.Give("a", "b", given("1", ""))()
		}, 1},
		{"followed by another although nobody said that it was there", func(l *simnet.Ledger) {
			l.Give("a", "b", given("1", ""))()
			l.Begin("b", "a", http.MethodGet, at(pull+"?after=0"), nil)()
			l.Give("a", "b", given("2", ""))()
		}, 1},
		{"pulled out of order", func(l *simnet.Ledger) {
			l.Begin("a", "b", http.MethodPut, at(send+"1"), pdus(`{"room_id":"!r","sender":"@u:a","origin_server_ts":2}`))()
			l.Give("a", "b", given("2", `{"room_id":"!r","sender":"@u:a","origin_server_ts":1}`))()
		}, 1},
	} {
		l := simnet.NewLedger()
		test.do(l)
		if got := l.Faults(); len(got) != test.want {
			t.Errorf("%s: %q, want %d faults", test.name, got, test.want)
		}
	}
}
