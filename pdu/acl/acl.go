// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"net/netip"
	"strings"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Slot is where a room's list stands in its state.
var Slot = event.StateKey{Type: "m.room.server_acl"}

// List is the content of an m.room.server_acl event. The zero value denies everyone, as a list without allow does (M-91).
type List struct {
	allowIPLiterals bool
	allow, deny     []string // globs in lower case
}

// Parse reads the content of an m.room.server_acl event. Whatever in it has the wrong type is as if it were not there: a
// number among the names, a list that is none; allow_ip_literals is then true (M-91).
func Parse(content canonicaljson.Value) List {
	literals, isBool := content.Get("allow_ip_literals").Bool()
	return List{
		allowIPLiterals: literals || !isBool,
		allow:           globs(content.Get("allow")),
		deny:            globs(content.Get("deny")),
	}
}

func globs(list canonicaljson.Value) (patterns []string) {
	if list.Kind() != canonicaljson.Array {
		return nil
	}
	for element := range list.Elements() {
		if pattern, ok := element.Text(); ok {
			patterns = append(patterns, strings.ToLower(pattern))
		}
	}
	return patterns
}

// Allows tells whether the list lets a server in (M-90).
func (l List) Allows(server ident.ServerName) bool {
	host, _ := ident.SplitServerName(server)
	if !l.allowIPLiterals && isIPLiteral(host) {
		return false
	}
	if strings.HasPrefix(string(server), "[") {
		host = "[" + host + "]" // lists name IPv6 addresses as server names do
	}
	host = strings.ToLower(host)
	return !matchesAny(l.deny, host) && matchesAny(l.allow, host)
}

func isIPLiteral(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func matchesAny(patterns []string, host string) bool {
	for _, pattern := range patterns {
		if matches(pattern, host) {
			return true
		}
	}
	return false
}

// matches tells whether the whole of s is an instance of a glob, in which * stands for any run of bytes and ? for one. It goes
// back to the latest * only, which makes the time at most the product of the lengths.
func matches(glob, s string) bool {
	star, resume := -1, 0
	g, i := 0, 0
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, resume = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == s[i]):
			g++
			i++
		case star >= 0:
			resume++
			g, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}
