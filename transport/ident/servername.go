// SPDX-License-Identifier: Apache-2.0

package ident

import (
	"net/netip"
	"strings"

	"github.com/matrix-org/gomatrixserverlib/spec"
)

// ServerName is "hostname[:port]": a DNS name, an IPv4 address or a bracketed IPv6 address. Server names compare
// byte for byte.
type ServerName = spec.ServerName

// maxHostname is the longest hostname in bytes.
const maxHostname = 255

// ParseServerName accepts what the grammar of X-10 allows.
func ParseServerName(s string) (ServerName, error) {
	host, port, bracketed := splitHostPort(s)
	switch {
	case host == "":
		return "", invalid("server name", s, "no hostname")
	case len(host) > maxHostname:
		return "", invalid("server name", s, "hostname longer than 255 bytes")
	case port != "" && !isPort(port):
		return "", invalid("server name", s, "the port is not a number of 1 to 5 digits")
	case port == "" && strings.HasSuffix(s, ":"):
		return "", invalid("server name", s, "nothing after the last ':'")
	case bracketed:
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", invalid("server name", s, "not an IPv6 address between the brackets")
		}
	case !isHostname(host):
		return "", invalid("server name", s, "the hostname is neither an IPv4 address nor a DNS name")
	}
	return ServerName(s), nil
}

// SplitServerName gives the hostname, without the brackets of an IPv6 address, and the port, "" when the name has none.
func SplitServerName(name ServerName) (host, port string) {
	host, port, _ = splitHostPort(string(name))
	return host, port
}

func splitHostPort(s string) (host, port string, bracketed bool) {
	if rest, found := strings.CutPrefix(s, "["); found {
		host, rest, found = strings.Cut(rest, "]")
		if !found || rest != "" && rest[0] != ':' {
			return "", "", true
		}
		return host, strings.TrimPrefix(rest, ":"), true
	}
	host, port, _ = strings.Cut(s, ":")
	return host, port, false
}

func isPort(s string) bool {
	if len(s) > 5 {
		return false
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// isHostname accepts DNS names, and IPv4 addresses whose numbers are in range: four runs of digits are no DNS name.
func isHostname(s string) bool {
	digitsAndDots := true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' || '0' <= c && c <= '9':
		case c == '-' || isAlnum(c):
			digitsAndDots = false
		default:
			return false
		}
	}
	if digitsAndDots && strings.Count(s, ".") == 3 {
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.Is4()
	}
	return true
}
