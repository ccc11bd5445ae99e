// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
)

// benchWire is a signed message of about the mean size of a PDU, as its server would send it: canonical, with an age.
func benchWire(b *testing.B, id string, number int) []byte {
	b.Helper()
	v := version(b, id)
	body := "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife. "
	p := proto(v, "m.room.message", nil, fmt.Sprintf(`{"body":%q,"msgtype":"m.text","n":%d}`, body, number))
	if v.References == event.RefIDs {
		p.PrevEvents = []event.Ref{{ID: "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"}}
		p.AuthEvents = []event.Ref{
			{ID: "$Aqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"}, {ID: "$Bqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"},
			{ID: "$Cqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"},
		}
	}
	e, err := event.Build(v, p, "domain", seedKey(b, "ed25519:1"))
	if err != nil {
		b.Fatal(err)
	}
	var wire object
	decode(e.JSON(), &wire)
	wire["unsigned"] = object{"age": 1234}
	return naive(wire)
}

// BenchmarkParse reads, canonicalises, hashes and identifies an event. The floor is one SHA-256 of the same bytes.
func BenchmarkParse(b *testing.B) {
	for _, id := range []string{"1", "10", "12"} {
		b.Run("v"+id, func(b *testing.B) {
			v, wire := version(b, id), benchWire(b, id, 1)
			b.ReportAllocs()
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				if _, err := event.Parse(v, wire); err != nil {
					b.Fatal(err)
				}
			}
			work := b.Elapsed() / time.Duration(b.N)
			floor := timed(b.N, func() { sha256.Sum256(wire) })
			b.ReportMetric(float64(work)/float64(floor), "ratio")
			b.ReportMetric(float64(floor), "floor-ns/op")
		})
	}
}

// BenchmarkParseStored reads an event back from the store. The floor is one SHA-256 of the same bytes.
func BenchmarkParseStored(b *testing.B) {
	v := version(b, "10")
	e, err := event.Parse(v, benchWire(b, "10", 1))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.ParseStored(v, e.ID(), e.JSON()); err != nil {
			b.Fatal(err)
		}
	}
	work := b.Elapsed() / time.Duration(b.N)
	floor := timed(b.N, func() { sha256.Sum256(e.JSON()) })
	b.ReportMetric(float64(work)/float64(floor), "ratio")
}

// BenchmarkVerify verifies events signed with one key, alone and in batches. Per event; the floor is one verification by the
// standard library on one core.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{1, 50, 200} {
		b.Run(fmt.Sprintf("batch%d", size), func(b *testing.B) {
			v, key := version(b, "10"), seedKey(b, "ed25519:1")
			var events []*event.Event
			for i := range size {
				e, err := event.Parse(v, benchWire(b, "10", i))
				if err != nil {
					b.Fatal(err)
				}
				events = append(events, e)
			}
			ring := &keyRing{keys: publicKeys(b, "domain ed25519:1")}
			for b.Loop() {
				for _, err := range event.VerifySignatures(b.Context(), events, ring) {
					if err != nil {
						b.Fatal(err)
					}
				}
				ring.asked = ring.asked[:0]
			}
			work := b.Elapsed() / time.Duration(b.N*size)
			message := events[0].Redact().JSON()
			signature := ed25519.Sign(key.Private, message)
			floor := timed(500, func() { ed25519.Verify(key.Public(), message, signature) })
			b.ReportMetric(float64(work)/float64(floor), "ratio")
			b.ReportMetric(float64(work), "ns/event")
		})
	}
}

func timed(n int, work func()) time.Duration {
	start := time.Now()
	for range n {
		work()
	}
	return max(1, time.Since(start)/time.Duration(n))
}
