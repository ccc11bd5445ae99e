// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/strata-matrix/strata/transport/memo"
)

// Config says whom a Client asks.
type Config struct {
	// Servers are recursive DNS servers, asked in this order. None: those of /etc/resolv.conf, which is read anew when it changes.
	Servers []netip.AddrPort
	// HostsFile goes before the DNS. "" is /etc/hosts.
	HostsFile string
}

// Client asks the DNS and keeps the answers. It is safe for concurrent use.
type Client struct {
	system *system
	kept   *memo.Memo[answer]
}

// NewClient makes a Client that has asked nothing yet.
func NewClient(config Config) *Client {
	return &Client{
		system: newSystem(config),
		kept:   memo.New(maxKept, func(a answer) time.Time { return a.until }),
	}
}

// look answers q, from what is kept unless fresh.
func (c *Client) look(ctx context.Context, q question, fresh bool) (answer, bool, error) {
	a, kept, err := c.kept.Ask(ctx, q.key(), fresh, lookupTimeout, func(ctx context.Context, _ answer) (answer, error) {
		return ask(ctx, c.system.servers(), q)
	})
	if err != nil {
		return answer{}, false, fmt.Errorf("DNS %s %s: %w", strings.TrimPrefix(q.kind.String(), "Type"), q.name, err)
	}
	return a, kept, nil
}

// ask goes through the servers until one answers. The error is the first one's that is not the end of the time.
func ask(ctx context.Context, servers []netip.AddrPort, q question) (answer, error) {
	var first error
	for range tries {
		for _, server := range servers {
			a, err := try(ctx, server, q)
			if err == nil {
				return a, nil
			}
			if first == nil {
				first = fmt.Errorf("ask %s: %w", server, err)
			}
			if ctx.Err() != nil {
				return answer{}, first
			}
		}
	}
	return answer{}, first
}

// try asks one server: over UDP, and over TCP when the answer does not fit.
func try(ctx context.Context, server netip.AddrPort, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	a, err := exchange(ctx, "udp", server, q, readPacket)
	if errors.Is(err, errTruncated) {
		a, err = exchange(ctx, "tcp", server, q, readStream)
	}
	return a, err
}

// exchange sends q over a connection of its own, whose port the kernel chose: with the random id it is what a forger has to guess.
func exchange(ctx context.Context, network string, server netip.AddrPort, q question, receive func(net.Conn) ([]byte, error)) (answer, error) {
	var random [2]byte
	if _, err := rand.Read(random[:]); err != nil {
		return answer{}, err
	}
	id := binary.BigEndian.Uint16(random[:])
	message, err := q.pack(id)
	if err != nil {
		return answer{}, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, server.String())
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends what waits
	defer stop()
	if network == "tcp" {
		message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...) // RFC 1035 §4.2.2
	}
	if _, err := conn.Write(message); err != nil {
		return answer{}, unanswered(ctx, err)
	}
	for range maxStray {
		reply, err := receive(conn)
		if err != nil {
			return answer{}, unanswered(ctx, err)
		}
		a, err := q.read(reply, id, time.Now())
		if !errors.Is(err, errStray) {
			return a, err
		}
	}
	return answer{}, errStray
}

// unanswered tells the end of our patience from other errors.
func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
	return err
}

func readPacket(conn net.Conn) ([]byte, error) {
	buffer := make([]byte, udpSize)
	n, err := conn.Read(buffer)
	return buffer[:n], err
}

// readStream reads one message of at most 64 KiB, as long as its first two bytes say.
func readStream(conn net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, message)
	return message, err
}

// kinds are the types that are asked for.
var kinds = []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV}
