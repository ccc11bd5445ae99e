// SPDX-License-Identifier: Apache-2.0

// Package dnstest is a DNS server for tests, on a port of the loopback interface, with a zone in lines:
//
//	example.org                   300 A     192.0.2.1
//	www.example.org               300 CNAME example.org
//	_matrix-fed._tcp.example.org  300 SRV   10 5 8448 www.example.org     (target . for "no service")
//	example.org                   60  SOA                                 (how long "there is nothing" is good below it)
//	broken.example.org            0   FAIL                                (the server says SERVFAIL)
//	silent.example.org            0   MUTE                                (it says nothing)
//
// It answers over UDP and TCP, follows aliases as a recursive server does, and remembers what it was asked. It serves no other
// record types, no wildcards and no delegations.
package dnstest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	plainUDP   = 512 // the longest answer over UDP to who does not say otherwise (RFC 1035 §2.3.4)
	maxAliases = 20
)

// Server is a running DNS server. Its methods may be called by any goroutine.
type Server struct {
	udp net.PacketConn
	tcp net.Listener

	mu    sync.Mutex
	zone  []entry
	asked []string
}

type entry struct {
	name, kind string
	ttl        uint32
	rest       []string
}

// Start serves a zone on a free port of 127.0.0.1.
func Start(zone string) (*Server, error) {
	s := &Server{}
	if err := s.Set(zone); err != nil {
		return nil, err
	}
	var err error
	for range 10 { // the port must be free for both
		if s.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		if s.udp, err = net.ListenPacket("udp", s.tcp.Addr().String()); err == nil {
			break
		}
		s.tcp.Close()
	}
	if err != nil {
		return nil, err
	}
	go s.servePackets()
	go s.serveStreams()
	return s, nil
}

// Close ends it.
func (s *Server) Close() { s.udp.Close(); s.tcp.Close() }

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return netip.MustParseAddrPort(s.tcp.Addr().String()) }

// Set puts a zone in the place of the one before.
func (s *Server) Set(zone string) error {
	var entries []entry
	for line := range strings.Lines(zone) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 3 {
			return fmt.Errorf("zone: %q is no NAME TTL TYPE VALUE…", line)
		}
		ttl, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			return fmt.Errorf("zone: TTL of %q: %w", line, err)
		}
		entries = append(entries, entry{strings.ToLower(fields[0]), fields[2], uint32(ttl), fields[3:]})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = entries
	return nil
}

// Asked lists the questions so far, such as "A example.org".
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *Server) servePackets() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(buffer)
		if err != nil {
			return
		}
		if reply := s.reply(buffer[:n], true); reply != nil {
			_, _ = s.udp.WriteTo(reply, from) // the test sees what does not come
		}
	}
}

func (s *Server) serveStreams() {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var length [2]byte
			if _, err := io.ReadFull(conn, length[:]); err != nil {
				return
			}
			message := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(conn, message); err != nil {
				return
			}
			if reply := s.reply(message, false); reply != nil {
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			}
		}()
	}
}

// reply answers one message, nil for not at all.
func (s *Server) reply(message []byte, isPacket bool) []byte {
	var query dnsmessage.Message
	if err := query.Unpack(message); err != nil || len(query.Questions) != 1 {
		return nil
	}
	q, room := query.Questions[0], plainUDP
	for _, extra := range query.Additionals {
		if extra.Header.Type == dnsmessage.TypeOPT {
			room = int(extra.Header.Class)
		}
	}
	answer := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: query.Questions,
	}
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimPrefix(q.Type.String(), "Type")+" "+strings.TrimSuffix(q.Name.String(), "."))
	mute, err := s.fill(&answer, q)
	s.mu.Unlock()
	if mute {
		return nil
	}
	packed, packErr := answer.Pack()
	if err != nil || packErr != nil {
		return nil
	}
	if isPacket && len(packed) > room {
		answer.Header.Truncated, answer.Answers = true, nil
		packed, _ = answer.Pack() // what was packed with answers packs without
	}
	return packed
}

// fill looks the question up.
func (s *Server) fill(answer *dnsmessage.Message, q dnsmessage.Question) (mute bool, err error) {
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	exists := false
	for range maxAliases {
		next := ""
		for _, e := range s.zone {
			if e.name != name {
				continue
			}
			exists = true
			switch {
			case e.kind == "MUTE":
				return true, nil
			case e.kind == "FAIL":
				answer.Header.RCode = dnsmessage.RCodeServerFailure
				return false, nil
			case e.kind == "CNAME", "Type"+e.kind == q.Type.String():
				body, err := e.body()
				if err != nil {
					return false, err
				}
				answer.Answers = append(answer.Answers, e.resource(body))
			}
			if e.kind == "CNAME" {
				next = strings.ToLower(strings.TrimSuffix(e.rest[0], "."))
			}
		}
		if name = next; name == "" {
			break
		}
	}
	if !exists {
		answer.Header.RCode = dnsmessage.RCodeNameError
	}
	s.addSOA(answer, strings.ToLower(strings.TrimSuffix(q.Name.String(), ".")))
	return false, nil
}

// addSOA says how long it is good that there is nothing.
func (s *Server) addSOA(answer *dnsmessage.Message, name string) {
	for _, e := range s.zone {
		if e.kind == "SOA" && (name == e.name || strings.HasSuffix(name, "."+e.name)) {
			host := dnsmessage.MustNewName("ns." + e.name + ".")
			answer.Authorities = append(answer.Authorities, e.resource(&dnsmessage.SOAResource{NS: host, MBox: host, MinTTL: e.ttl}))
		}
	}
}

func (e entry) resource(body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(e.name + "."), Class: dnsmessage.ClassINET, TTL: e.ttl}, Body: body,
	}
}

func (e entry) body() (dnsmessage.ResourceBody, error) {
	switch {
	case e.kind == "A" && len(e.rest) == 1, e.kind == "AAAA" && len(e.rest) == 1:
		addr, err := netip.ParseAddr(e.rest[0])
		if err != nil {
			return nil, err
		}
		if addr.Is4() {
			return &dnsmessage.AResource{A: addr.As4()}, nil
		}
		return &dnsmessage.AAAAResource{AAAA: addr.As16()}, nil
	case e.kind == "CNAME" && len(e.rest) == 1:
		name, err := rooted(e.rest[0])
		return &dnsmessage.CNAMEResource{CNAME: name}, err
	case e.kind == "SRV" && len(e.rest) == 4:
		var numbers [3]uint16
		for i := range numbers {
			n, err := strconv.ParseUint(e.rest[i], 10, 16)
			if err != nil {
				return nil, err
			}
			numbers[i] = uint16(n)
		}
		target, err := rooted(e.rest[3])
		return &dnsmessage.SRVResource{Priority: numbers[0], Weight: numbers[1], Port: numbers[2], Target: target}, err
	}
	return nil, fmt.Errorf("zone: %s of %s is not understood", e.kind, e.name)
}

func rooted(name string) (dnsmessage.Name, error) {
	return dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
}
