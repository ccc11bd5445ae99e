// SPDX-License-Identifier: Apache-2.0

package canonicaljson_test

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

const benchEvent = `{"auth_events":["$Aqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg","$Bqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg",` +
	`"$Cqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"body":"It is a truth universally acknowledged, that a single ` +
	`man in possession of a good fortune, must be in want of a wife.","msgtype":"m.text"},"depth":7,"hashes":{"sha256":` +
	`"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"},"origin_server_ts":1234567890123,"prev_events":` +
	`["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"room_id":"!room:example.org","sender":"@user:example.org","signatures":` +
	`{"example.org":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},` +
	`"type":"m.room.message"}`

// BenchmarkParse parses an event that is canonical, one that is not, and the worst shape, against one SHA-256 of the bytes.
func BenchmarkParse(b *testing.B) {
	for name, src := range map[string]string{
		"canonical": benchEvent,
		"unsorted":  `{"type2":1,` + benchEvent[1:],
		"brackets":  strings.Repeat("[", canonicaljson.MaxDepth) + strings.Repeat("]", canonicaljson.MaxDepth),
		"nested":    strings.Repeat(`{"b":1,"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	} {
		b.Run(name, func(b *testing.B) {
			wire := []byte(src)
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := canonicaljson.Parse(wire, canonicaljson.Strict); err != nil {
					b.Fatal(err)
				}
			}
			work := b.Elapsed() / time.Duration(b.N)
			start := time.Now()
			for range b.N {
				sha256.Sum256(wire)
			}
			b.ReportMetric(float64(work)/float64(max(1, time.Since(start)/time.Duration(b.N))), "ratio")
		})
	}
}
