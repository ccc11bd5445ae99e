// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// V-04 and V-05: the two events of the appendices, "Event Signing". The second lacks fields that every event has, so the
// steps are called one by one; room version 1 is the one whose redaction they follow.
func TestEventSigningVectors(t *testing.T) {
	seed, err := base64.RawStdEncoding.DecodeString("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	tests := []struct{ bare, hashed, hash, signature string }{
		{
			`{"room_id":"!x:domain","sender":"@a:domain","origin":"domain","origin_server_ts":1000000,"signatures":{},"hashes":{},
			"type":"X","content":{},"prev_events":[],"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}}`,
			`{"room_id":"!x:domain","sender":"@a:domain","origin":"domain","origin_server_ts":1000000,
			"hashes":{"sha256":"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"},
			"type":"X","content":{},"prev_events":[],"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}}`,
			"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
			"KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
		},
		{
			`{"content":{"body":"Here is the message content"},"event_id":"$0:domain","origin":"domain","origin_server_ts":1000000,
			"type":"m.room.message","room_id":"!r:domain","sender":"@u:domain","signatures":{},"unsigned":{"age_ts":1000000}}`,
			`{"content":{"body":"Here is the message content"},"event_id":"$0:domain","origin":"domain","origin_server_ts":1000000,
			"hashes":{"sha256":"onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g"},
			"type":"m.room.message","room_id":"!r:domain","sender":"@u:domain","unsigned":{"age_ts":1000000}}`,
			"onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
			"Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
		},
	}
	for _, tt := range tests {
		bare, err := canonicaljson.ParseWithout([]byte(tt.bare), canonicaljson.Lenient, "unsigned")
		if err != nil {
			t.Fatal(err)
		}
		var f fields
		f.read(bare)
		hash := sha256.Sum256(appendHashed(nil, bare, &f))
		if got := base64.RawStdEncoding.EncodeToString(hash[:]); got != tt.hash {
			t.Errorf("content hash %s, want %s", got, tt.hash)
		}
		hashed, err := canonicaljson.ParseWithout([]byte(tt.hashed), canonicaljson.Lenient, "unsigned")
		if err != nil {
			t.Fatal(err)
		}
		e := Event{version: versions[0], text: hashed.Canonical()}
		if got := base64.RawStdEncoding.EncodeToString(ed25519.Sign(key, e.message())); got != tt.signature {
			t.Errorf("signature %s, want %s", got, tt.signature)
		}
	}
}
