// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/strata-matrix/strata/transport/ident"
)

// ErrNotFederated says that our policy keeps us apart from a server. Only the operator can change that.
var ErrNotFederated = errors.New("this server does not federate with it")

// ServerPolicy says with which servers we federate. It holds both ways: no request goes to the others, and theirs are refused. The
// zero value federates with all. It is immutable.
type ServerPolicy struct {
	only  map[ident.ServerName]bool // nil for all
	never []*regexp.Regexp
}

// NewServerPolicy makes a policy of server names and patterns. With only, these alone are federated with, none if it is empty but not
// nil. Of those, the ones of which a regular expression in never matches any part are left out.
func NewServerPolicy(only, never []string) (p ServerPolicy, err error) {
	if only != nil {
		p.only = make(map[ident.ServerName]bool, len(only))
	}
	for _, name := range only {
		server, err := ident.ParseServerName(name)
		if err != nil {
			return p, err
		}
		p.only[server] = true
	}
	for _, text := range never {
		pattern, err := regexp.Compile(text)
		if err != nil {
			return p, fmt.Errorf("pattern %q: %w", text, err)
		}
		p.never = append(p.never, pattern)
	}
	return p, nil
}

// Check gives an error that wraps ErrNotFederated and names the list when server is not one to federate with.
func (p ServerPolicy) Check(server ident.ServerName) error {
	if p.only != nil && !p.only[server] {
		return fmt.Errorf("%w: %s is not on the list of allowed servers", ErrNotFederated, server)
	}
	for _, pattern := range p.never {
		if pattern.MatchString(string(server)) {
			return fmt.Errorf("%w: %s is forbidden by the pattern %q", ErrNotFederated, server, pattern)
		}
	}
	return nil
}
