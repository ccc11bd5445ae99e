// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"testing"

	"github.com/strata-matrix/strata/transport/ident"
)

// What would be judged the same whenever it is judged (inspector: "permanent").
func TestPermanent(t *testing.T) {
	verdict := func(o Outcome, check, rule string, causes ...ident.EventID) Verdict {
		return Verdict{Outcome: o, Checks: []Check{{ID: "P-25", OK: check != "P-25"}, {ID: check, Rule: rule}}, Causes: causes}
	}
	for _, tt := range []struct {
		name string
		v    Verdict
		want bool
	}{
		{"malformed", verdict(Dropped, "P-25", "P-01"), true},
		{"of an unknown room", verdict(Dropped, "P-25", "T-09"), false},
		{"from a denied server", verdict(Dropped, "P-25", "M-95"), false},
		{"badly signed: a good copy may come", verdict(Dropped, "P-26", "P-15"), false},
		{"refused by its auth events", verdict(Rejected, "P-27", "P-54"), true},
		{"resting on a rejected event", verdict(Rejected, "P-27", "P-41", "$x"), false},
		{"refused by the state before", verdict(Rejected, "P-28", "P-54", "$x"), false},
		{"with a parent in another room", verdict(Rejected, "P-28", "P-70"), true},
		{"soft-failed", verdict(SoftFailed, "P-29", "P-51", "$x"), false},
		{"without a key", verdict(Quarantined, "P-26", "P-15"), false},
		{"accepted", verdict(Accepted, "P-29", "P-29"), false},
	} {
		if got := tt.v.Permanent(); got != tt.want {
			t.Errorf("%s: permanent is %v", tt.name, got)
		}
	}
}
