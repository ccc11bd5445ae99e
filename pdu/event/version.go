// SPDX-License-Identifier: Apache-2.0

package event

import (
	"math"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// Version is the rules of one room version. Callers ask for a rule, never for the version's name: versions are opaque and
// unordered. The values are shared and must not be modified.
type Version struct {
	ID string // as in the content of m.room.create

	Rules           canonicaljson.Rules // which numbers events may hold
	EventIDFormat   EventIDFormat
	References      References
	StateResolution StateResolution
	MaxDepth        int64 // depth stays at this cap (P-05)

	EnforceKeyValidity bool // signatures need a key that was valid at origin_server_ts
	EventIDSigner      bool // the server in the event id must sign too (P-16)
	AliasesRule        bool // m.room.aliases has an authorisation rule of its own (P-58)
	RedactionAuthRule  bool // m.room.redaction has an authorisation rule (P-57)

	Knock           bool // membership and join rule "knock"
	Restricted      bool // join rule "restricted", and the authorising server signs
	KnockRestricted bool // join rule "knock_restricted"

	NotificationsChecked bool // power level rules cover notifications
	IntegerPowerLevels   bool // power levels are integers; before, strings too
	FloatPowerLevels     bool // and before that, floats

	OriginField        bool // we send the top-level origin, which redaction keeps
	CreatorInContent   bool // the creator is content.creator; after, the sender of m.room.create
	RedactsInContent   bool // redactions name their target in content
	HashRoomID         bool // the room id is the create event's hash; that event has no room_id and nobody lists it
	PrivilegedCreators bool // creators have infinite power, additional_creators exists

	redaction redaction
}

// EventIDFormat says where an event's id comes from.
type EventIDFormat int

const (
	IDField   EventIDFormat = iota // the field event_id, "$opaque:server"
	IDHashStd                      // reference hash in standard base64
	IDHashURL                      // reference hash in URL-safe base64
)

// References says how prev_events and auth_events name events.
type References int

const (
	RefPairs References = iota // [id, {"sha256": hash}]
	RefIDs                     // id
)

// StateResolution names an algorithm.
type StateResolution int

const (
	ResolveV1   StateResolution = iota // rooms/v1
	ResolveV2                          // rooms/v2
	ResolveV2_1                        // rooms/v12: v2 from an empty state, with the conflicted subgraph
)

// versions is the stable room versions in the order of their numbers.
var versions = makeVersions()

// VersionOf finds a room version by its name; ok is false for those that this server does not know (P-40).
func VersionOf(id string) (v *Version, ok bool) {
	for _, v := range versions {
		if v.ID == id {
			return v, true
		}
	}
	return nil, false
}

// Versions is the names of all room versions that this server knows, "1" to "12".
func Versions() []string {
	ids := make([]string, 0, len(versions))
	for _, v := range versions {
		ids = append(ids, v.ID)
	}
	return ids
}

// makeVersions writes each version as what it changes in the one before (content/rooms).
func makeVersions() []*Version {
	all := []*Version{versionOne()}
	next := func(id string, change func(*Version)) {
		v := *all[len(all)-1]
		v.ID, v.redaction = id, v.redaction.clone()
		change(&v)
		all = append(all, &v)
	}
	next("2", func(v *Version) { v.StateResolution = ResolveV2 })
	next("3", func(v *Version) {
		v.EventIDFormat = IDHashStd
		v.References = RefIDs
		v.EventIDSigner = false
		v.RedactionAuthRule = false
	})
	next("4", func(v *Version) { v.EventIDFormat = IDHashURL })
	next("5", func(v *Version) { v.EnforceKeyValidity = true })
	next("6", func(v *Version) {
		v.Rules = canonicaljson.Strict
		v.MaxDepth = maxInteger
		v.AliasesRule = false
		v.NotificationsChecked = true
		v.FloatPowerLevels = false
		v.redaction.withoutAliases()
	})
	next("7", func(v *Version) { v.Knock = true })
	next("8", func(v *Version) {
		v.Restricted = true
		v.redaction.withAllow()
	})
	next("9", func(v *Version) { v.redaction.withAuthoriser() })
	next("10", func(v *Version) {
		v.KnockRestricted = true
		v.IntegerPowerLevels = true
	})
	next("11", func(v *Version) {
		v.OriginField = false
		v.CreatorInContent = false
		v.RedactsInContent = true
		v.redaction.asOfEleven()
	})
	next("12", func(v *Version) {
		v.HashRoomID = true
		v.PrivilegedCreators = true
		v.StateResolution = ResolveV2_1
	})
	return all
}

func versionOne() *Version {
	return &Version{
		ID:                "1",
		Rules:             canonicaljson.Lenient,
		EventIDFormat:     IDField,
		References:        RefPairs,
		StateResolution:   ResolveV1,
		MaxDepth:          math.MaxInt64,
		EventIDSigner:     true,
		AliasesRule:       true,
		RedactionAuthRule: true,
		FloatPowerLevels:  true,
		OriginField:       true,
		CreatorInContent:  true,
		redaction:         baseRedaction(),
	}
}
