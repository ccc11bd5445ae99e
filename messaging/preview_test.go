// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"encoding/json"
	"testing"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// M-35: whatever a server shows of a room, a client is given the four members of a stripped event, or nothing.
func FuzzStripped(f *testing.F) {
	f.Add([]byte(`{"type":"m.room.name","state_key":"","sender":"@x:x","content":{"name":"T\"ea"},"origin_server_ts":7}`))
	f.Add([]byte(`{"type":7,"content":[]}`))
	f.Fuzz(func(t *testing.T, wire []byte) {
		value, err := canonicaljson.Parse(wire, canonicaljson.Lenient)
		if err != nil {
			return
		}
		shown, err := readStripped(value)
		if err != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(shown, &members); err != nil || len(members) != 4 {
			t.Errorf("%s became %s: %v", wire, shown, err)
		}
	})
}
