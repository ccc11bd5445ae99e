// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/strata-matrix/strata/transport/turns"
)

// A request waits for one turn of each other party whenever it needs one, not for all that they have in line; and its handler has the
// turns of its origin.
func TestTurnsGoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTestServer(t, func(c *ServerConfig) {
			c.Routes = []Route{{Method: "PUT", Pattern: sendPattern, Handle: func(ctx context.Context, _ *Request) (Reply, error) {
				return Reply{}, turns.Do(ctx, func() {})
			}}}
		})
		const each = 30
		step, ended := make(chan struct{}), make(chan struct{})
		for _, flood := range []string{"a.example", "b.example", "origin.example"} {
			ctx := s.turns.For(t.Context(), flood)
			for range each + runtime.GOMAXPROCS(0) {
				go func() {
					_ = turns.Do(ctx, func() { <-step })
					ended <- struct{}{}
				}()
				synctest.Wait()
			}
		}
		answered := make(chan int, 1)
		go func() {
			answered <- call(s, "PUT", send, authorize(testKey(t, "ed25519:1", 3), "PUT", send, "third.example", "self.example", `{}`), `{}`).Code
		}()
		total := 3 * (each + runtime.GOMAXPROCS(0))
		passed := 0
		for synctest.Wait(); len(answered) == 0 && passed < total; synctest.Wait() {
			step <- struct{}{}
			<-ended
			passed++
		}
		// To be parsed, to be verified, and in the handler: each time one of each of the three, and what is under way.
		if most := 3 * (3 + runtime.GOMAXPROCS(0)); passed > most {
			t.Errorf("%d turns of others came first, want at most %d", passed, most)
		}
		if code := <-answered; code != http.StatusOK {
			t.Errorf("status %d", code)
		}
		for ; passed < total; passed++ {
			step <- struct{}{}
			<-ended
		}
	})
}

// Whoever hangs up while a request waits for its turn gets nothing, and leaves nothing behind.
func TestTurnIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTestServer(t)
		release := make(chan struct{})
		for range runtime.GOMAXPROCS(0) {
			go func() { _ = turns.Do(s.turns.For(t.Context(), "flood.example"), func() { <-release }) }()
		}
		synctest.Wait()
		ctx, hangUp := context.WithCancel(t.Context())
		w := make(chan int, 1)
		go func() {
			authorization := authorize(testKey(t, "ed25519:1", 3), "PUT", send, "third.example", "self.example", `{}`)
			w <- callWith(ctx, s, "PUT", send, authorization, `{}`).Code
		}()
		synctest.Wait()
		hangUp()
		if code := <-w; code != http.StatusTooManyRequests {
			t.Errorf("status %d, want 429", code)
		}
		if s.admission.memory.free != s.limits.Memory || s.admission.visitors != 0 {
			t.Errorf("left over: %d visitors", s.admission.visitors)
		}
		close(release)
	})
}
