// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/transport/signing"
)

// A race is what each branch begins with: what servers do at the same time, of which not all can stand.
type race func(g *generator, b *branch, branch int)

func noRace(*generator, *branch, int) {}

var races = []race{banEachOther, changePowerAtOnce, closeTheDoor, banAndAct, revokeInvite}

func member(membership string) map[string]any { return map[string]any{"membership": membership} }

// banEachOther: on each branch another one of those with power bans the next.
func banEachOther(g *generator, b *branch, i int) {
	from := i % 4
	g.try(b, g.users[from], "m.room.member", g.users[(from+1+g.rng.IntN(3))%4], member(g.pick("ban", "leave")))
}

// changePowerAtOnce: each branch takes power from one and gives it to another, some bans with it.
func changePowerAtOnce(g *generator, b *branch, i int) {
	sender := g.users[i%4]
	g.changePower(b, sender, g.users[(i+2)%6])
	g.try(b, sender, "m.room.member", g.users[(i+1)%4], member("ban"))
	g.changePower(b, g.users[(i+1)%4], g.users[g.rng.IntN(6)])
}

// closeTheDoor: on some branches the join rule closes the room, on the others people come in.
func closeTheDoor(g *generator, b *branch, i int) {
	if i%2 == 0 {
		rule := g.pick("invite", "knock", "restricted", "knock_restricted", "private")
		g.try(b, g.users[i%4], "m.room.join_rules", "", map[string]any{"join_rule": rule})
		g.try(b, g.users[0], "m.room.member", g.users[4], member("leave"))
		return
	}
	via := map[string]any{"membership": "join", "join_authorised_via_users_server": g.users[g.rng.IntN(4)]}
	g.try(b, g.users[5], "m.room.member", g.users[5], via)
	g.try(b, g.users[0], "m.room.join_rules", "", map[string]any{"join_rule": "public"})
}

// banAndAct: on some branches one with power is banned, on the others that one acts.
func banAndAct(g *generator, b *branch, i int) {
	if i%2 == 0 {
		g.try(b, g.users[i%2], "m.room.member", g.users[2], member("ban"))
		return
	}
	g.changePower(b, g.users[2], g.users[4])
	g.try(b, g.users[2], "m.room.member", g.users[5], member("invite"))
	g.try(b, g.users[2], "m.room.topic", "", map[string]any{"topic": fmt.Sprint(i)})
}

// revokeInvite: a third-party invite is used on some branches and revoked on the others.
func revokeInvite(g *generator, b *branch, i int) {
	if i%2 == 0 {
		g.redeem(b, g.users[0], g.users[5])
		g.try(b, g.users[5], "m.room.member", g.users[5], member("join"))
		return
	}
	g.try(b, g.users[0], "m.room.third_party_invite", "t0", map[string]any{})
}

func identityKey(tb testing.TB) signing.Key {
	key, err := signing.NewKey("ed25519:0", slices.Repeat([]byte{7}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// inviteByEmail puts a third-party invite up, or revokes it.
func (g *generator) inviteByEmail(b *branch, sender string) bool {
	content := map[string]any{"public_key": signing.EncodeBase64(g.key.Public())}
	if g.rng.IntN(5) == 0 {
		content = map[string]any{}
	}
	return g.try(b, sender, "m.room.third_party_invite", g.pick("t0", "t0", "t1"), content)
}

// redeem invites whoever the identity server says a third-party invite is for.
func (g *generator) redeem(b *branch, sender, target string) bool {
	token := g.pick("t0", "t0", "t1")
	signed, err := signing.SignJSON(fmt.Appendf(nil, `{"mxid":%q,"token":%q}`, target, token), "id.org", g.key)
	if err != nil {
		g.tb.Fatal(err)
	}
	content := member("invite")
	content["third_party_invite"] = map[string]any{"signed": json.RawMessage(signed)}
	return g.try(b, sender, "m.room.member", target, content)
}
