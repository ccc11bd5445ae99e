// SPDX-License-Identifier: Apache-2.0

package signing_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/signing"
)

// fiftyPDUs is a transaction of 50 PDUs with the members of a common message, 40 KB.
func fiftyPDUs() []byte {
	body := []byte(`{"edus":[],"origin":"a.example","origin_server_ts":1700000000000,"pdus":[`)
	for i := range 50 {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"auth_events":["$Aqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg","$Bqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg",`+
			`"$Cqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"body":"It is a truth universally acknowledged, that a single man `+
			`in possession of a good fortune, must be in want of a wife.","msgtype":"m.text"},"depth":%d,"hashes":{"sha256":`+
			`"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"},"origin_server_ts":1234567890123,"prev_events":`+
			`["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"room_id":"!room:example.org","sender":"@user:example.org","signatures":`+
			`{"example.org":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},`+
			`"type":"m.room.message"}`, i)
	}
	return append(body, "]}"...)
}

// BenchmarkRequest signs a request with 50 PDUs and checks it, each with the parsing of the body that it takes, against
// crypto/ed25519 over the same bytes. other-spelling is a body that has to be put into canonical form first.
func BenchmarkRequest(b *testing.B) {
	key := specKey(b)
	content := fiftyPDUs()
	body := func(b *testing.B, raw []byte, rules canonicaljson.Rules) signing.Request {
		parsed, err := canonicaljson.Parse(raw, rules)
		if err != nil {
			b.Fatal(err)
		}
		return signing.Request{Method: "PUT", URI: "/_matrix/federation/v1/send/1", Origin: "a.example", Destination: "b.example", Content: parsed}
	}
	request := body(b, content, canonicaljson.Lenient)
	header := request.Authorization(key)
	signature := ed25519.Sign(key.Private, content)
	check := func(raw []byte) func(b *testing.B) {
		return func(b *testing.B) {
			c, err := signing.ParseAuthorization(header)
			if err != nil {
				b.Fatal(err)
			}
			if err := body(b, raw, canonicaljson.Foreign).Verify(c, key.Public()); err != nil {
				b.Fatal(err)
			}
		}
	}
	sign := func(b *testing.B) { body(b, content, canonicaljson.Lenient).Authorization(key) }
	verify := func(*testing.B) { ed25519.Verify(key.Public(), content, signature) }
	against(b, "sign", sign, func(*testing.B) { ed25519.Sign(key.Private, content) })
	against(b, "verify", check(content), verify)
	against(b, "other-spelling", check(bytes.ReplaceAll(content, []byte(`,"`), []byte(`, "`))), verify)
}

// against reports how many times as long ours takes as floor, in turn.
func against(b *testing.B, name string, ours, floor func(*testing.B)) {
	const batch = 16 // calls between two looks at the clock
	b.Run(name, func(b *testing.B) {
		var spent, least time.Duration
		for b.Loop() {
			begun := time.Now()
			for range batch {
				ours(b)
			}
			turn := time.Now()
			for range batch {
				floor(b)
			}
			spent, least = spent+turn.Sub(begun), least+time.Since(turn)
		}
		b.ReportMetric(float64(spent)/float64(batch*b.N), "ns/request")
		b.ReportMetric(float64(spent)/float64(least), "ratio")
	})
}
