// SPDX-License-Identifier: Apache-2.0

//go:build linux

package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// Frames of HTTP/2 (RFC 9113, section 6), which no well-behaved client sends as the attackers here do.
const (
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagEndHeaders = 0x4

	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

func frame(kind, flags byte, stream uint32, payload string) string {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return string(binary.BigEndian.AppendUint32(head, stream)) + payload
}

// getBlock is the header block of a GET, in HPACK without compression: static entries 2 (GET) and 7 (https), names 1 and 4.
func getBlock(path string) string {
	return "\x82\x87\x01\x01x\x04" + string(rune(len(path))) + path
}

func get2(stream uint32, path string) string {
	return frame(frameHeaders, flagEndStream|flagEndHeaders, stream, getBlock(path))
}

// farewell reads frames until the server closes the connection, and gives the error code of its last GOAWAY, -1 without one.
func farewell(conn net.Conn) (code int) {
	code = -1
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(conn, head); err != nil {
			return code
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(conn, payload); err != nil {
			return code
		}
		if head[3] == frameGoAway && len(payload) >= 8 {
			code = int(binary.BigEndian.Uint32(payload[4:]))
		}
	}
}

// flood2 has some connections send settings and then n times what next gives, or until the server hangs up, and returns the codes of
// its farewells.
func (s *siege) flood2(ctx context.Context, connections, n int, settings string, next func(i int) string) []int {
	codes := make([]int, connections)
	each(connections, func(c int) {
		conn := s.dial(ctx, "h2")
		if conn == nil {
			s.t.Error("no connection")
			return
		}
		defer conn.Close()
		_, err := io.WriteString(conn, preface+frame(frameSettings, 0, 0, settings))
		var batch bytes.Buffer
		for i := 0; i < n && err == nil; i++ {
			batch.WriteString(next(i))
			if batch.Len() > 1<<14 || i == n-1 {
				// The answers are not read meanwhile: who waits for room to write has been stopped as well.
				_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
				_, err = conn.Write(batch.Bytes())
				batch.Reset()
			}
		}
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		codes[c] = farewell(conn)
	})
	return codes
}

// What is abuse of HTTP/2 itself, net/http stops, or serves at a bounded cost; that it does is shown here, with handlers that do not end
// (CVE-2023-44487, CVE-2019-9512, CVE-2019-9515, CVE-2023-45288).
func TestHostileHTTP2(t *testing.T) {
	stream := func(i int) uint32 { return uint32(2*i + 1) }
	cancel := string([]byte{0, 0, 0, 8})
	const calm = 11 // ENHANCE_YOUR_CALM
	for _, tt := range []struct {
		name string
		n    int
		next func(i int) string
		code int // of the farewell, 0 for any or none
	}{
		{"rapid reset", 20_000, func(i int) string {
			return get2(stream(i), "/hold") + frame(frameReset, 0, stream(i), cancel)
		}, calm},
		{"settings", 40_000, func(int) string { return frame(frameSettings, 0, 0, "\x00\x04\x00\x00\xff\xff") }, 0},
		{"ping", 40_000, func(int) string { return frame(framePing, 0, 0, "12345678") }, 0},
		{"endless header", 20_000, func(i int) string {
			if i == 0 {
				return frame(frameHeaders, 0, 1, getBlock("/hold"))
			}
			return frame(frameContinuation, 0, 1, "\x00\x01a\x7f\x81\x07"+strings.Repeat("b", 262-8)+"\x00\x01a\x01b")
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			besiege(t, ServerLimits{}, 64<<20, func(ctx context.Context, s *siege) {
				const connections = 4
				codes := s.flood2(ctx, connections, tt.n, "", tt.next)
				t.Logf("farewells: %v", codes)
				if tt.code != 0 && !slices.Contains(codes, tt.code) {
					t.Errorf("farewells %v, want %d", codes, tt.code)
				}
				if most := s.most.Load(); most > connections*64 {
					t.Errorf("%d handlers at one time", most)
				}
			})
		})
	}
}

// Clients that ask for much and take nothing: replies wait within the places of their address, and not for ever.
func TestHostileZeroWindow(t *testing.T) {
	limits := ServerLimits{Unverified: 32, Memory: 16 << 20, WriteTime: 700 * time.Millisecond}
	besiege(t, limits, 80<<20, func(ctx context.Context, s *siege) {
		noWindow := "\x00\x04\x00\x00\x00\x00"
		s.flood2(ctx, 8, 60, noWindow, func(i int) string { return get2(uint32(2*i+1), "/big") })
	})
}
