// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-matrix/strata/homeserver/rooms"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// "A transaction ID is scoped to a device and an endpoint" (CS "Transaction identifiers").
func TestTransactions(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room, other := a.room(alice, ``), a.room(alice, ``)
		send := func(as, path, body string) string { return a.ok(as, "PUT", path, body, "event_id") }
		first := send(alice+" D1", in(room, "send/org.x/1"), `{"n":1}`)
		if again := send(alice+" D1", in(room, "send/org.x/1"), `{"n":2}`); again != first {
			t.Errorf("the same transaction made %s and %s", first, again)
		}
		seen := map[string]bool{first: true}
		for _, c := range [][2]string{
			{alice + " D2", in(room, "send/org.x/1")}, {alice + " D1", in(room, "send/org.y/1")}, {alice + " D1", in(room, "send/org.x/2")},
			{alice + " D1", in(other, "send/org.x/1")}, {alice + " D1", in(room, "redact/"+first+"/1")},
		} {
			if id := send(c[0], c[1], `{}`); seen[id] {
				t.Errorf("%v is answered with an event of another transaction", c)
			} else {
				seen[id] = true
			}
		}
		err := a.server.Store().View(t.Context(), func(tx *persistence.Tx) error {
			for device, want := range map[string]string{"D1": "1", "D2": ""} {
				if txn, err := rooms.TransactionOf(tx, alice, device, ident.EventID(first)); err != nil || txn != want {
					t.Errorf("transaction of the event for %s: %q %v, want %q", device, txn, err, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestConcurrentTransactions(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, ``)
		var mu sync.Mutex
		made := map[string]int{}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, answer := a.Do(t, alice+" D", "PUT", in(room, "send/org.x/1"), `{}`)
				mu.Lock()
				defer mu.Unlock()
				made[textOf(t, answer, "event_id")]++
			})
		}
		all.Wait()
		if len(made) != 1 || made[""] != 0 {
			t.Errorf("20 requests of one transaction made %v, want one event", made)
		}
	})
}

func TestSendRefusals(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, ``)
		for name, c := range map[string]struct {
			as, path, body string
			status         int
			code           string
		}{
			"not in the room": {carol, in(room, "send/org.x/1"), `{}`, 403, "M_FORBIDDEN"},
			"no such room":    {alice, in("!none:a.example", "send/org.x/1"), `{}`, 403, "M_FORBIDDEN"},
			"no room id":      {alice, in("none", "send/org.x/1"), `{}`, 400, "M_INVALID_PARAM"},
			"no JSON":         {alice, in(room, "send/org.x/1"), `{`, 400, "M_NOT_JSON"},
			"no object":       {alice, in(room, "send/org.x/1"), `7`, 400, "M_BAD_JSON"},
			"a float":         {alice, in(room, "send/org.x/1"), `{"a":0.5}`, 400, "M_BAD_JSON"},
			"too large":       {alice, in(room, "send/org.x/1"), `{"a":"` + strings.Repeat("x", 65536) + `"}`, 413, "M_TOO_LARGE"},
			"a long type":     {alice, in(room, "send/"+strings.Repeat("x", 256)+"/1"), `{}`, 413, "M_TOO_LARGE"},
			"a long id":       {alice, in(room, "send/org.x/"+strings.Repeat("x", 256)), `{}`, 400, "M_INVALID_PARAM"},
			"redacts":         {alice, in(room, "send/m.room.redaction/1"), `{}`, 400, "M_BAD_JSON"},
			"reason":          {alice, in(room, "redact/$x/1"), `{"reason":7}`, 400, "M_BAD_JSON"},
			"state":           {carol, in(room, "state/org.x/k"), `{}`, 403, "M_FORBIDDEN"},
			"a state's float": {alice, in(room, "state/org.x/k"), `{"a":0.5}`, 400, "M_BAD_JSON"},
			"a foreign key":   {alice, in(room, "state/org.x/@carol:a.example"), `{}`, 403, "M_FORBIDDEN"}, // P-50: nobody's but their own
		} {
			status, answer := a.Do(t, c.as+" D", "PUT", c.path, c.body)
			if status != c.status || textOf(t, answer, "errcode") != c.code {
				t.Errorf("%s: %d %s, want %d %s", name, status, answer, c.status, c.code)
			}
		}
	})
}

// The rules let pass what is between users of one server (P-61): that a user redacts only what they may is for their server to see to.
func TestRedact(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		const dan = "@dan:a.example"
		room := a.room(alice, `{"preset":"public_chat"}`)
		for _, user := range []string{carol, dan} {
			a.ok(user, "POST", in(room, "join"), ``, "")
		}
		say := func(txn string) string {
			return a.ok(carol, "PUT", in(room, "send/m.room.message/"+txn), `{"body":"secret"}`, "event_id")
		}
		first, second := say("1"), say("2")
		a.refused(dan, "PUT", in(room, "redact/"+first+"/1"), `{}`, 403, "M_FORBIDDEN")
		a.refused(dan, "PUT", in(room, "send/m.room.redaction/1"), `{"redacts":"`+first+`"}`, 403, "M_FORBIDDEN")
		a.ok(carol, "PUT", in(room, "redact/"+first+"/1"), `{"reason":"mine"}`, "event_id")
		a.ok(alice, "PUT", in(room, "redact/"+second+"/1"), ``, "event_id")
		for _, id := range []string{first, second} {
			stored, err := a.server.Engine().Event(t.Context(), ident.EventID(id))
			if err != nil || stored.RedactedBy == "" || stored.Event.Content().Has("body") {
				t.Errorf("%s: %s %v, want it redacted", id, stored.Event.Content().Canonical(), err)
			}
		}
		a.ok(dan, "PUT", in(room, "redact/$unknown/1"), `{}`, "event_id") // takes effect when it comes, if it may
	})
}

func TestTimestampToEvent(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, ``)
		time.Sleep(time.Hour)
		before := time.Now().UnixMilli()
		id := a.ok(alice, "PUT", in(room, "send/org.x/1"), `{}`, "event_id")
		path := v1 + "rooms/" + room + "/timestamp_to_event"
		at := func(offset int64) string { return fmt.Sprint(before + offset) }
		a.Want(t, alice, "GET", path+"?dir=f&ts="+at(-1000), "", 200, fmt.Sprintf(`{"event_id":%q,"origin_server_ts":%d}`, id, before))
		a.Want(t, alice, "GET", path+"?dir=b&ts="+at(1000), "", 200, fmt.Sprintf(`{"event_id":%q,"origin_server_ts":%d}`, id, before))
		a.refused(alice, "GET", path+"?dir=f&ts="+at(1000), "", 404, "M_NOT_FOUND")
		a.refused(alice, "GET", path+"?dir=f", "", 400, "M_MISSING_PARAM")
		a.refused(alice, "GET", path+"?dir=x&ts=1", "", 400, "M_INVALID_PARAM")
		a.refused(alice, "GET", path+"?dir=f&ts=x", "", 400, "M_INVALID_PARAM")
		a.refused(carol, "GET", path+"?dir=f&ts=1", "", 403, "M_FORBIDDEN")
	})
}
