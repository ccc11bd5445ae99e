// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
)

// benchMessage is a signed message of about the mean size of a PDU.
func benchMessage(b *testing.B, id string, number int) *event.Event {
	b.Helper()
	body := "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife. "
	return benchEvent(b, id, "m.room.message", nil, fmt.Sprintf(`{"body":%q,"msgtype":"m.text","n":%d}`, body, number))
}

func benchMember(b *testing.B, id string) *event.Event {
	b.Helper()
	user := "@u:domain"
	return benchEvent(b, id, "m.room.member", &user,
		`{"avatar_url":"mxc://domain/SEsfnsuifSDFSSEF","displayname":"Alice Margatroid","membership":"join"}`)
}

// benchPowerLevels names fifty users, as those of a large room do.
func benchPowerLevels(b *testing.B, id string) *event.Event {
	b.Helper()
	users := object{}
	for i := range 50 {
		users[fmt.Sprintf("@moderator%d:server%d.example.org", i, i%10)] = 50
	}
	content := object{
		"ban": 50, "events": object{"m.room.name": 50, "m.room.power_levels": 100, "m.room.tombstone": 100}, "events_default": 0,
		"invite": 0, "kick": 50, "redact": 50, "state_default": 50, "users": users, "users_default": 0,
	}
	return benchEvent(b, id, "m.room.power_levels", new(string), string(naive(content)))
}

func benchEvent(b *testing.B, id, typ string, key *string, content string) *event.Event {
	b.Helper()
	v := version(b, id)
	p := proto(v, typ, key, content)
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
	return e
}

// aged is the event as its server would send it: canonical, with an age.
func aged(e *event.Event) []byte {
	var wire object
	decode(e.JSON(), &wire)
	wire["unsigned"] = object{"age": 1234}
	return naive(wire)
}

// benchEvents is one event of each kind that is read differently.
func benchEvents(b *testing.B, id string) []*event.Event {
	return []*event.Event{benchMessage(b, id, 1), benchMember(b, id), benchPowerLevels(b, id)}
}

// reversed is the event with its members in the opposite order, as nobody sends them but some might.
func reversed(e *event.Event) []byte {
	var wire map[string]json.RawMessage
	decode(e.JSON(), &wire)
	out := []byte("{")
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(wire))) {
		out = fmt.Appendf(out, "%q:%s,", key, wire[key])
	}
	return append(out[:len(out)-1], '}')
}

// indented is the event as a person would read it.
func indented(b *testing.B, e *event.Event) []byte {
	var out bytes.Buffer
	if err := json.Indent(&out, e.JSON(), "", "  "); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkParse reads, canonicalises, hashes and identifies an event. The floor is one SHA-256 of the same bytes. Nearly all events
// come in canonical form, and the aim of four times the floor is for those; what is reversed or indented is shown beside them.
func BenchmarkParse(b *testing.B) {
	for _, id := range []string{"1", "10", "12"} {
		for _, e := range benchEvents(b, id) {
			parse := func(wire []byte) func(b *testing.B) {
				return func(b *testing.B) {
					againstHash(b, wire, func() error {
						_, err := event.Parse(e.Version(), wire)
						return err
					})
				}
			}
			b.Run("v"+id+"/"+e.Type(), parse(e.JSON()))
			b.Run("v"+id+"/"+e.Type()+"+unsigned", parse(aged(e)))
			b.Run("v"+id+"/"+e.Type()+"+reversed", parse(reversed(e)))
			b.Run("v"+id+"/"+e.Type()+"+indented", parse(indented(b, e)))
		}
		b.Run("v"+id+"/traffic", func(b *testing.B) {
			v, traffic := version(b, id), benchTraffic(b, id)
			againstHashes(b, traffic, func(wire []byte) error {
				_, err := event.Parse(v, wire)
				return err
			})
		})
	}
}

// benchTraffic is what a server receives, in wire form: of a hundred events, all different, ninety are messages, five members and
// five other state.
func benchTraffic(b *testing.B, id string) (wires [][]byte) {
	b.Helper()
	for i := range 100 {
		e := benchMessage(b, id, i)
		switch user := fmt.Sprintf("@u%d:domain", i); i % 20 {
		case 7:
			e = benchEvent(b, id, "m.room.member", &user, fmt.Sprintf(`{"displayname":"Alice Margatroid %d","membership":"join"}`, i))
		case 13:
			e = benchEvent(b, id, "m.room.topic", new(string), fmt.Sprintf(`{"topic":"In want of a wife: chapter %d"}`, i))
		}
		wires = append(wires, e.JSON())
	}
	return wires
}

// BenchmarkParseStored reads an event back from the store. The floor is one SHA-256 of the same bytes.
func BenchmarkParseStored(b *testing.B) {
	for _, e := range benchEvents(b, "10") {
		b.Run(e.Type(), func(b *testing.B) {
			againstHash(b, e.JSON(), func() error {
				_, err := event.ParseStored(e.Version(), e.ID(), e.JSON())
				return err
			})
		})
	}
}

// againstHash reports how many times as much of the processor the work takes as one SHA-256 of the bytes it is about.
func againstHash(b *testing.B, wire []byte, work func() error) {
	againstHashes(b, [][]byte{wire}, func([]byte) error { return work() })
}

// againstHashes does so for work on each of several texts. Work and floor take turns, so that whatever else the machine does slows
// both.
func againstHashes(b *testing.B, wires [][]byte, work func([]byte) error) {
	const turn = 500
	b.ReportAllocs()
	var spent, floor time.Duration
	for b.Loop() {
		spent += cpuTime(b, func() {
			for i := range turn {
				if err := work(wires[i%len(wires)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		floor += cpuTime(b, func() {
			for i := range turn {
				sha256.Sum256(wires[i%len(wires)])
			}
		})
	}
	b.ReportMetric(float64(spent)/float64(floor), "ratio")
	b.ReportMetric(float64(spent)/float64(b.N)/turn, "cpu-ns/event")
	b.ReportMetric(0, "ns/op")
}

// cpuTime is the processor time that the work takes, the collector's share included.
func cpuTime(b *testing.B, work func()) time.Duration {
	b.Helper()
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	work()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	return time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
}

// BenchmarkVerify verifies events signed with one key, alone and in batches. Per event; the floor is one verification by the
// standard library on one core.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{1, 50, 200} {
		b.Run(fmt.Sprintf("batch%d", size), func(b *testing.B) {
			v, key := version(b, "10"), seedKey(b, "ed25519:1")
			var events []*event.Event
			for i := range size {
				e, err := event.Parse(v, benchMessage(b, "10", i).JSON())
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
