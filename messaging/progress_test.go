// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// A join that takes long can be watched: whom it asks, for what, and since when.
func TestJoinsUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var mu sync.Mutex
		var steps []string
		a := n.open("a.example", "")
		b := n.open("b.example", "", func(c *messaging.Config) {
			c.Trace = trace.SinkFunc(func(e trace.Event) {
				if step, ok := e.(trace.MessagingJoinStep); ok {
					mu.Lock()
					defer mu.Unlock()
					steps = append(steps, fmt.Sprintf("%s %s %t", step.Via, step.Step, step.Events > 0))
				}
			})
		})
		room := versionTen(t, a, true)
		began := time.Now()
		n.put("a.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "send_join") {
				time.Sleep(3 * time.Minute)
			}
			a.Handler().ServeHTTP(w, r)
		}))
		joined := make(chan error, 1)
		go func() { joined <- b.Join(t.Context(), bob, room, []ident.ServerName{"down.example", "a.example"}) }()
		time.Sleep(time.Minute)
		want := []messaging.JoinProgress{{
			Room: room, User: bob, Via: "a.example", Step: messaging.JoinWaits, Tried: 2, Began: began, Since: began,
		}}
		if diff := cmp.Diff(want, b.Joins()); diff != "" {
			t.Errorf("under way (-want +got):\n%s", diff)
		}
		if err := <-joined; err != nil {
			t.Error(err)
		}
		if left := b.Joins(); len(left) > 0 {
			t.Errorf("still under way: %+v", left)
		}
		if diff := cmp.Diff([]string{"down.example asks false", "a.example asks false", "a.example waits false", "a.example verifies true"}, steps); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
	})
}
