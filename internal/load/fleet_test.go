// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// target is a complete server on loopback with rooms in which everyone may do everything, and the authority that it trusts.
func target(t *testing.T, version string, rooms int) (*messaging.Server, []ident.RoomID, *transport.LocalCA) {
	t.Helper()
	authority, err := transport.OpenLocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tls, err := authority.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := messaging.Open(t.Context(), messaging.Config{
		ServerName: listener.Addr().String(), DataDir: t.TempDir(), TLS: tls, NoSync: true,
		Network: transport.NetworkConfig{AllowPrivate: true, Trust: transport.Trust{Roots: authority.Pool()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(context.WithoutCancel(t.Context()), listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	var ids []ident.RoomID
	for range rooms {
		id, err := s.CreateRoom(t.Context(), messaging.CreateRoom{
			Creator: ident.UserID("@creator:" + string(s.Name())), Version: version, Public: true,
			State: []messaging.State{{Type: "m.room.power_levels", Content: map[string]any{"state_default": 0}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return s, ids, authority
}

func options(t *testing.T, s *messaging.Server, rooms []ident.RoomID, authority *transport.LocalCA) Options {
	t.Helper()
	tls, err := authority.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Target: s.Name(), Rooms: rooms, Origins: 2, Events: 300, PerTransaction: 20, Members: 10, State: 10, Forks: 10, Seed: 7,
		Host: "127.0.0.1", Address: "127.0.0.1", TLS: tls, RootCAs: authority.Pool(), AllowPrivate: true,
	}
}

func opened(t *testing.T, o Options) *Fleet {
	t.Helper()
	f, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if err := f.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// accepted is the events of other servers that a server has accepted.
func accepted(t *testing.T, s *messaging.Server) map[ident.EventID]bool {
	t.Helper()
	list, err := s.Engine().Since(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	found := map[ident.EventID]bool{}
	for _, d := range list {
		if d.Event.Sender().Server() != s.Name() {
			found[d.Event.ID()] = true
		}
	}
	return found
}

// Every event is judged good by a server that checks it as any other, whatever the version of the room.
func TestEveryEventIsAccepted(t *testing.T) {
	for _, version := range []string{"1", "6", "12"} {
		t.Run(version, func(t *testing.T) {
			s, rooms, authority := target(t, version, 3)
			f := opened(t, options(t, s, rooms, authority))
			if err := f.Send(t.Context(), f.Transactions()); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := f.Result()
			want := Result{
				Transactions: 16, PDUs: 300, Accepted: 300, Refused: map[string]int{}, Errors: map[string]int{},
				SendSeconds: got.SendSeconds, P50: got.P50, P99: got.P99,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if n := len(accepted(t, s)); n != 300+len(rooms) { // with the joins
				t.Errorf("%d events accepted, want %d", n, 300+len(rooms))
			}
		})
	}
}

// When the time is over, what the target has taken is known: nothing that was on its way is left to chance.
func TestTheEndOfTheTimeLosesNoAnswer(t *testing.T) {
	s, rooms, authority := target(t, "12", 2)
	o := options(t, s, rooms, authority)
	o.Events, o.Duration = 3000, 50*time.Millisecond
	f := opened(t, o)
	if err := f.Send(t.Context(), f.Transactions()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := f.Result()
	if n := len(accepted(t, s)) - len(rooms); n != got.Accepted { // without the joins
		t.Errorf("the target has %d events, %d are counted as accepted", n, got.Accepted)
	}
	shown, asked, err := f.Shown(t.Context())
	if want := min(got.Accepted, sampleSize); err != nil || shown != want || asked != want {
		t.Errorf("it shows %d of %d, %v; want all of %d", shown, asked, err, want)
	}
}

// What the target misses it gets from the origin: here it is sent the transactions in the wrong order.
func TestOriginsAnswerWhatIsAsked(t *testing.T) {
	s, rooms, authority := target(t, "12", 1)
	o := options(t, s, rooms, authority)
	o.Origins = 1
	f := opened(t, o)
	all := f.origins[0].parcels
	f.origins[0].parcels = slices.Concat(all[len(all)-1:], all[:len(all)-1])
	if err := f.Send(t.Context(), f.Transactions()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, fmt.Errorf("only %d events accepted", len(accepted(t, s))))
	defer cancel()
	if _, err := f.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	for news := s.Engine().News(); len(accepted(t, s)) < 301; news = s.Engine().News() {
		select {
		case <-news:
		case <-ctx.Done():
			t.Fatal(context.Cause(ctx))
		}
	}
}

// Two fleets of one seed send events of the same kinds and texts in the same order, whoever they are aimed at.
func TestTheSeedDecides(t *testing.T) {
	kinds := func() (list []string) {
		s, rooms, authority := target(t, "12", 2)
		f := opened(t, options(t, s, rooms, authority))
		for _, o := range f.origins {
			for _, p := range o.parcels {
				for _, e := range p.events {
					body, _ := e.Content().Get("body").Text()
					list = append(list, fmt.Sprintf("%s %d %d %s", e.Type(), len(e.PrevEvents()), e.Depth()-o.rooms[0].list[0].Depth(), body))
				}
			}
		}
		return list
	}
	if diff := cmp.Diff(kinds(), kinds()); diff != "" {
		t.Error(diff)
	}
}

// The shares of the mix, within what chance allows.
func TestTheMix(t *testing.T) {
	s, rooms, authority := target(t, "12", 2)
	o := options(t, s, rooms, authority)
	o.Events, o.Forks, o.Members, o.State = 2000, 0, 5, 5
	f := opened(t, o)
	var messages, members, others, size int
	events, checks, err := f.Checks()
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range events {
		version, _ := event.VersionOf("12")
		e, err := event.Parse(version, text)
		if err != nil {
			t.Fatal(err)
		}
		if !ed25519.Verify(checks[i].Public, checks[i].Message, checks[i].Signature) {
			t.Fatalf("the check of %s fails", e.ID())
		}
		switch _, isState := e.StateKey(); {
		case e.Type() == "m.room.message":
			messages++
		case e.Type() == "m.room.member":
			members++
		case isState:
			others++
		}
		size += len(text)
	}
	const tolerance = 35 // more than three standard deviations of 5 % of 2000
	if messages+members+others != 2000 || abs(members-100) > tolerance || abs(others-100) > tolerance {
		t.Errorf("%d messages, %d members, %d other state; want 1800, 100, 100", messages, members, others)
	}
	if mean := size / 2000; mean < 700 || mean > 900 {
		t.Errorf("events are %d bytes long in the mean, want about 800", mean)
	}
}

func abs(n int) int { return max(n, -n) }

// What the target asks by itself is answered in the forms of the specification (E-08 to E-12).
func TestAnswers(t *testing.T) {
	s, rooms, authority := target(t, "12", 1)
	o := options(t, s, rooms, authority)
	o.Origins = 1
	f := opened(t, o)
	origin, room := f.origins[0], f.rooms[0]
	client := transport.NewClient(transport.ClientConfig{ServerName: "asker.example", Key: origin.key, Network: origin.network})
	ask := func(path ...string) string {
		answer, err := client.Do(t.Context(), origin.name, transport.Call{
			Method: "GET", Path: transport.Path(append([]string{"_matrix", "federation", "v1"}, path...)...),
			Query: map[string][]string{"event_id": {string(room.list[5].ID())}, "v": {string(room.list[5].ID())}, "limit": {"3"}},
		})
		if err != nil {
			return err.Error()
		}
		return string(answer.Body)
	}
	for _, path := range [][]string{
		{"event", string(room.list[5].ID())}, {"state", string(room.id)}, {"state_ids", string(room.id)},
		{"event_auth", string(room.id), string(room.list[5].ID())}, {"backfill", string(room.id)}, {"version"},
	} {
		if got := ask(path...); got[0] != '{' {
			t.Errorf("%v: %s", path, got)
		}
	}
	for _, path := range [][]string{{"event", "$none"}, {"state", "!none"}, {"backfill", "!none"}, {"nothing"}} {
		if got := ask(path...); got[0] == '{' {
			t.Errorf("%v: %s, want an error", path, got)
		}
	}
}
