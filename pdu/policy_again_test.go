// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
)

// A second copy of an event, which the policy server has signed since the first was soft-failed: the signature is taken over, and the
// event judged again, also when we were down meanwhile. A bad signature is no reason to.
func TestCopyWithPolicySignature(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inBubble(t, func(t *testing.T, n *network) {
			a, _, p, room := policed(t, n)
			auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
			p.fault = func(*event.Event) error { return &transport.Failure{Class: transport.ClassTimeout} }
			first := build(t, room, text(bob, "late"), []*event.Event{a.stored(a.extremities(room)[0]).Event}, auth)
			a.receive("b.example", first.JSON())
			a.wantOutcome(first, pdu.SoftFailed, "P-30", "M-104")
			sign := func(signature string) []byte {
				signed, err := first.WithSignature("p.example", "ed25519:policy_server", signature)
				if err != nil {
					t.Fatal(err)
				}
				return signed.JSON()
			}
			a.receive("b.example", sign(strings.Repeat("A", 86)))
			pass(10 * time.Minute)
			a.wantOutcome(first, pdu.SoftFailed, "P-30", "M-104")
			asked := p.asked.Load()
			a.receive("b.example", sign(p.signature(t, first)))
			if restart {
				a.restart()
			}
			pass(10 * time.Minute)
			a.wantOutcome(first, pdu.Accepted, "", "")
			if !signedByPolicy(a.stored(first.ID()).Event) || !slices.Contains(a.delivered(), first.ID()) {
				t.Error("it is not signed, or not delivered")
			}
			if p.asked.Load() != asked {
				t.Error("the policy server was asked, though it had signed")
			}
		})
	}
}
