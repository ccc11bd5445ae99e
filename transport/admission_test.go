// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/strata-matrix/strata/transport/ident"
)

// Whatever is asked of a pool, it never gives more than it has, and gets all back; who takes unit by unit leaves a share for the next.
func TestPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const units = 100
		p := newPool[int](units)
		held := map[int]int64{}
		sum := func() (n int64) {
			for _, h := range held {
				n += h
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				who, n := rapid.IntRange(0, 9).Draw(t, "who"), rapid.Int64Range(0, 40).Draw(t, "n")
				want := n == 0 || held[who]+n <= units-sum()
				if got := p.take(who, n); got != want {
					t.Fatalf("%d of %d for %d, who has %d: %v", n, units-sum(), who, held[who], got)
				} else if got && n > 0 {
					held[who] += n
				}
			},
			"give": func(t *rapid.T) {
				who := rapid.IntRange(0, 9).Draw(t, "who")
				n := rapid.Int64Range(0, held[who]).Draw(t, "n")
				p.give(who, n)
				if held[who] -= n; held[who] == 0 {
					delete(held, who)
				}
			},
			"": func(t *rapid.T) {
				if p.free != units-sum() || len(p.held) != len(held) || p.free < 0 {
					t.Fatalf("%+v, want %v", p, held)
				}
			},
		})
	})
	alone := newPool[string](1000)
	for alone.take("greedy", 1) {
	}
	if alone.free != 500 {
		t.Errorf("one party leaves %d of 1000, want half", alone.free)
	}
	for alone.take("second", 1) {
	}
	if alone.free != 250 || !alone.take("third", 100) {
		t.Errorf("two leave %d", alone.free)
	}
}

func TestAddressParty(t *testing.T) {
	for remote, want := range map[string]party{
		"192.0.2.1:1": "192.0.2.1/32", "192.0.2.1:65535": "192.0.2.1/32", "[::ffff:192.0.2.1]:5": "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64", "@": "/@", "": "/",
	} {
		if got := addressParty(remote); got != want {
			t.Errorf("%q: %q, want %q", remote, got, want)
		}
	}
}

// verifiedVisit is a request of a proven origin, up to its turn.
func verifiedVisit(a *admission, origin ident.ServerName) (*visit, error) {
	v, err := a.enter("192.0.2.1:1")
	if err == nil {
		err = v.introduce(context.Background(), origin)
	}
	if err != nil {
		v.leave()
	}
	return v, err
}

// An origin that floods works in its own few turns, in order, waits in a line of its own, and is refused beyond that; another one is
// served as if it were alone.
func TestFloodIsInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(ServerLimits{OriginRequests: 2, OriginWaiting: 3}.orDefault())
		const took = time.Second
		served, refused := 0, 0
		for range 10 {
			go func() {
				v, err := verifiedVisit(a, "flood.example")
				var busy *Error
				if errors.As(err, &busy) && busy.Status == 429 && busy.RetryAfter > 0 {
					refused++
					return
				}
				defer v.leave()
				time.Sleep(took)
				v.finish()
				served++
			}()
			synctest.Wait()
		}
		if refused != 5 || !a.isCrowded("flood.example") || a.isCrowded("other.example") {
			t.Errorf("%d of 10 refused, want 5", refused)
		}
		begun := time.Now()
		v, err := verifiedVisit(a, "other.example")
		if err != nil || time.Since(begun) != 0 {
			t.Errorf("another origin waited %s: %v", time.Since(begun), err)
		}
		v.leave()
		time.Sleep(3 * took)
		synctest.Wait()
		if served != 5 || len(a.lines) != 0 || a.verified.free != 512 || a.unverified.free != 1024 {
			t.Errorf("%d served, want 5; left over %+v", served, a)
		}
	})
}

// Who waits too long, or hangs up, goes; a turn that comes at that moment is passed on.
func TestLineIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(ServerLimits{OriginRequests: 1}.orDefault())
		first, err := verifiedVisit(a, "a.example")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := verifiedVisit(a, "a.example"); err == nil || time.Since(begun) != maxInLine {
			t.Errorf("left after %s: %v", time.Since(begun), err)
		}
		gone, hangUp := context.WithCancel(t.Context())
		v, _ := a.enter("192.0.2.1:1")
		done := make(chan error)
		go func() { done <- v.introduce(gone, "a.example") }()
		synctest.Wait()
		hangUp()
		first.leave() // the turn comes to one who is about to go
		if err := <-done; err == nil && !v.atWork {
			t.Error("neither refused nor at work")
		}
		v.leave()
		synctest.Wait()
		if len(a.lines) != 0 || a.visitors != 0 {
			t.Errorf("left over: %+v", a.lines)
		}
		select {
		case <-a.emptied():
		default:
			t.Error("not empty")
		}
	})
}

// Whatever one origin holds, hundreds of others find a place: no origin has more than it leaves free.
func TestPlacesForOthers(t *testing.T) {
	a := newAdmission(ServerLimits{Requests: 64, OriginRequests: 1000}.orDefault())
	var visits []*visit
	take := func(origin ident.ServerName) int {
		n := 0
		for {
			v, err := verifiedVisit(a, origin)
			if err != nil {
				return n
			}
			visits = append(visits, v)
			n++
		}
	}
	got := fmt.Sprint(take("a.example"), take("b.example"), take("c.example"))
	if got != "32 16 8" {
		t.Errorf("origins got %s places, want 32 16 8", got)
	}
	for _, v := range visits {
		v.leave()
	}
	if a.verified.free != 64 || a.memory.free != 256<<20 {
		t.Errorf("left over: %+v", a)
	}
}
