// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

// E-05, X-56: a server joins while another member's server is down: the resident tells it the keys, and nobody is missing.
func TestJoinWhileAMembersServerIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b, c := n.open("a.example", ""), n.open("b.example", ""), n.open("c.example", "")
		room := versionTen(t, a, true)
		if err := c.Join(ctx, carol, room, []ident.ServerName{"a.example"}); err != nil {
			t.Fatal(err)
		}
		n.put("c.example", nil)
		if err := b.Join(ctx, bob, room, []ident.ServerName{"a.example"}); err != nil {
			t.Fatal(err)
		}
		servers := must[[]ident.ServerName](t)(b.Engine().Servers(ctx, room))
		if diff := cmp.Diff([]ident.ServerName{"a.example", "b.example", "c.example"}, servers); diff != "" {
			t.Errorf("servers at b.example (-want +got):\n%s", diff)
		}
		if !slices.Contains(n.asked(), "a.example POST /_matrix/key/v2/query") {
			t.Error("the resident was not asked")
		}
	})
}
