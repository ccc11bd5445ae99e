// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport"
)

// T-11, M-90 to M-96: a server on the room's list gets nothing of the room and brings nothing into it; what it wrote is taken from
// others.
func TestServerACL(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room, sent := line(n, 1)
		before := b.send(room, text(bob, "before"))
		n.deliver()
		a.send(room, stateDraft(alice, "m.room.server_acl", `{"allow":["*"],"deny":["b.example"]}`))
		n.deliver()

		late := b.send(room, text(bob, "late"))
		held := n.hold()
		if len(held) == 0 {
			t.Fatal("b.example queued nothing")
		}
		results := a.receive("b.example", late.JSON(), []byte(`{"room_id":"!unknown:x"}`))
		if why := results[late.ID()]; !strings.Contains(why, "M-95") {
			t.Errorf("M-95: result of a PDU from a denied server: %q", why)
		}
		a.wantOutcome(late, pdu.Dropped, "P-25", "M-95")

		at := "/" + url.PathEscape(string(room))
		for name, call := range map[string]transport.Call{
			"state":      get("state"+at, url.Values{"event_id": {string(sent[0].ID())}}),
			"state_ids":  get("state_ids"+at, url.Values{"event_id": {string(sent[0].ID())}}),
			"event_auth": get("event_auth"+at+"/"+url.PathEscape(string(sent[0].ID())), nil),
			"backfill":   get("backfill"+at, url.Values{"v": {string(sent[0].ID())}, "limit": {"10"}}),
			"missing":    missing(room, fmt.Sprintf(`{"earliest_events":[],"latest_events":[%q]}`, sent[0].ID())),
		} {
			if _, err := a.request(t.Context(), "b.example", call); errcode(err) != "403 M_FORBIDDEN" {
				t.Errorf("M-92: %s: %v, want 403 M_FORBIDDEN", name, err)
			}
		}
		if _, err := a.request(t.Context(), "b.example", get("event/"+url.PathEscape(string(before.ID())), nil)); errcode(err) != "404 M_NOT_FOUND" {
			t.Errorf("event: %v, want it to be unknown", err)
		}
		// M-96: the list is about who asks, not about who wrote.
		if why := a.receive("c.example", late.JSON())[late.ID()]; why != "" {
			t.Errorf("M-96: the event of a denied server, handed over by another: %q", why)
		}
		a.wantOutcome(late, pdu.Accepted, "", "")
	})
}
