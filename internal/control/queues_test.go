// SPDX-License-Identifier: Apache-2.0

package control

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// What waits in memory for a server is shown beside what waits in the file.
func TestQueueShowsWhatWaitsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := messaging.Open(t.Context(), messaging.Config{ServerName: "one.example", DataDir: t.TempDir(), RoundTripper: nowhere{}, NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		client := Direct("here", NewHandler(server, NewWatch(), "v1"))
		begun := time.Now().UnixMilli()
		for _, edu := range []transaction.Volatile{
			{Type: "m.typing", Key: "sent", Content: []byte(`{}`)}, // and not taken: it is in a transaction from now on
			{Type: "m.typing", Key: "a", Content: []byte(`{}`)},
			{Type: "m.typing", Key: "b", Content: []byte(`{}`)},
			{Type: "m.presence", Key: "a", Content: []byte(`{}`)},
		} {
			if err := server.Outbox().EnqueueVolatile(edu, []ident.ServerName{"two.example"}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		detail, err := client.Queue(t.Context(), inspect.Filter{Server: "two.example"})
		want := []VolatileEDUs{{"m.presence", 1, begun}, {"m.typing", 2, begun}}
		if diff := cmp.Diff(want, detail.Volatile); err != nil || diff != "" {
			t.Errorf("in memory, %v -want +got\n%s", err, diff)
		}
	})
}
