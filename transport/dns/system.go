// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	resolvConf = "/etc/resolv.conf"
	hostsFile  = "/etc/hosts"
	dnsPort    = 53
)

// system is what this machine's files say: whom to ask, and which hosts need no asking. The files are read again when what was read
// is some seconds old. The mutex is held while they are: they are small, and local.
type system struct {
	given     []netip.AddrPort // in place of resolv.conf
	hostsFile string

	mu    sync.Mutex
	read  time.Time
	names []netip.AddrPort
	table map[string][]netip.Addr
}

func newSystem(config Config) *system {
	s := &system{given: config.Servers, hostsFile: config.HostsFile}
	if s.hostsFile == "" {
		s.hostsFile = hostsFile
	}
	return s
}

// servers are those to ask, at least one.
func (s *system) servers() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reload()
	return s.names
}

// hosts gives the addresses of a host that needs no DNS.
func (s *system) hosts(host string) []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reload()
	if list := s.table[host]; len(list) > 0 {
		return list
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 §6.3
		return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return nil
}

func (s *system) reload() {
	if time.Since(s.read) < reloadAfter {
		return
	}
	s.read = time.Now()
	s.table = parseHosts(readFile(s.hostsFile))
	if s.names = s.given; len(s.names) == 0 {
		s.names = parseServers(readFile(resolvConf))
	}
}

// readFile gives what can be read of a file: without it there is nothing in it.
func readFile(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	text, _ := io.ReadAll(io.LimitReader(file, maxFile)) // what came before an error counts
	return string(text)
}

// parseServers reads resolv.conf(5). Without any server it is the one on this machine.
func parseServers(text string) []netip.AddrPort {
	var list []netip.AddrPort
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" || len(list) == maxServers {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, netip.AddrPortFrom(addr, dnsPort))
		}
	}
	if len(list) == 0 {
		list = append(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort))
	}
	return list
}

// parseHosts reads hosts(5).
func parseHosts(text string) map[string][]netip.Addr {
	table := map[string][]netip.Addr{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			table[lower(name)] = append(table[lower(name)], addr)
		}
	}
	return table
}
