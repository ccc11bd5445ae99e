// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// as a table: the versions in which each rule holds.
func TestVersionTable(t *testing.T) {
	rules := []struct {
		name  string
		holds func(*event.Version) bool
		want  string
	}{
		{"strict JSON", func(v *event.Version) bool { return v.Rules == canonicaljson.Strict }, "6 7 8 9 10 11 12"},
		{"event_id field", func(v *event.Version) bool { return v.EventIDFormat == event.IDField }, "1 2"},
		{"standard base64", func(v *event.Version) bool { return v.EventIDFormat == event.IDHashStd }, "3"},
		{"references are pairs", func(v *event.Version) bool { return v.References == event.RefPairs }, "1 2"},
		{"resolution v1", func(v *event.Version) bool { return v.StateResolution == event.ResolveV1 }, "1"},
		{"resolution v2.1", func(v *event.Version) bool { return v.StateResolution == event.ResolveV2_1 }, "12"},
		{"64-bit depth", func(v *event.Version) bool { return v.MaxDepth == math.MaxInt64 }, "1 2 3 4 5"},
		{"53-bit depth", func(v *event.Version) bool { return v.MaxDepth == 1<<53-1 }, "6 7 8 9 10 11 12"},
		{"key validity", func(v *event.Version) bool { return v.EnforceKeyValidity }, "5 6 7 8 9 10 11 12"},
		{"event id signer", func(v *event.Version) bool { return v.EventIDSigner }, "1 2"},
		{"aliases rule", func(v *event.Version) bool { return v.AliasesRule }, "1 2 3 4 5"},
		{"redaction rule", func(v *event.Version) bool { return v.RedactionAuthRule }, "1 2"},
		{"knock", func(v *event.Version) bool { return v.Knock }, "7 8 9 10 11 12"},
		{"restricted", func(v *event.Version) bool { return v.Restricted }, "8 9 10 11 12"},
		{"knock_restricted", func(v *event.Version) bool { return v.KnockRestricted }, "10 11 12"},
		{"notifications", func(v *event.Version) bool { return v.NotificationsChecked }, "6 7 8 9 10 11 12"},
		{"integer levels", func(v *event.Version) bool { return v.IntegerPowerLevels }, "10 11 12"},
		{"float levels", func(v *event.Version) bool { return v.FloatPowerLevels }, "1 2 3 4 5"},
		{"origin", func(v *event.Version) bool { return v.OriginField }, "1 2 3 4 5 6 7 8 9 10"},
		{"content.creator", func(v *event.Version) bool { return v.CreatorInContent }, "1 2 3 4 5 6 7 8 9 10"},
		{"content.redacts", func(v *event.Version) bool { return v.RedactsInContent }, "11 12"},
		{"hash room id", func(v *event.Version) bool { return v.HashRoomID }, "12"},
		{"privileged creators", func(v *event.Version) bool { return v.PrivilegedCreators }, "12"},
	}
	for _, rule := range rules {
		var got []string
		for _, id := range event.Versions() {
			if rule.holds(version(t, id)) {
				got = append(got, id)
			}
		}
		if diff := cmp.Diff(rule.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", rule.name, diff)
		}
	}
}

// V-09, R-28: names are opaque; those of the specification's grammar that are no stable version are unknown.
func TestUnknownVersions(t *testing.T) {
	for _, id := range []string{"", "0", "13", "01", "1.2", "1.2-beta", "com.example.version", "org.matrix.msc4242.12", "１"} {
		if v, ok := event.VersionOf(id); ok {
			t.Errorf("version %q is %q", id, v.ID)
		}
	}
	if diff := cmp.Diff(strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12"), event.Versions()); diff != "" {
		t.Error(diff)
	}
}
