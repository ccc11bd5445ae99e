// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"sync"

	"github.com/strata-matrix/strata/transport/ident"
)

// ErrNotFederated says that our policy keeps us apart from a server. Only the operator can change that.
var ErrNotFederated = errors.New("this server does not federate with it")

// ServerPolicy says with which servers we federate. It holds both ways: no request goes to the others, and theirs are refused. The
// zero value federates with all. It is immutable, but for exceptions where it has room for them.
type ServerPolicy struct {
	only       map[ident.ServerName]bool // nil for all
	never      []*regexp.Regexp
	exceptions *rulings // shared by all copies; nil for none, ever
}

// rulings are servers that the lists do not count for. mu guards them.
type rulings struct {
	mu      sync.Mutex
	allowed map[ident.ServerName]bool // false: not federated with
}

// maxExceptions is far more than anybody types; who needs more has the settings.
const maxExceptions = 10_000

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
	switch allowed, found := p.exception(server); {
	case found && allowed:
		return nil
	case found:
		return fmt.Errorf("%w: %s was denied by an operator", ErrNotFederated, server)
	}
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

// Adjustable is the policy with room for exceptions, which count for it and every copy made of it from now on.
func (p ServerPolicy) Adjustable() ServerPolicy {
	p.exceptions = &rulings{allowed: p.Exceptions()}
	return p
}

// Except makes a server an exception, whatever the lists say, for as long as the process runs.
func (p ServerPolicy) Except(server ident.ServerName, allowed bool) error {
	if p.exceptions == nil {
		return errors.New("this policy takes no exceptions")
	}
	p.exceptions.mu.Lock()
	defer p.exceptions.mu.Unlock()
	if _, known := p.exceptions.allowed[server]; !known && len(p.exceptions.allowed) >= maxExceptions {
		return fmt.Errorf("there are %d exceptions already: write the rest into the settings", maxExceptions)
	}
	p.exceptions.allowed[server] = allowed
	return nil
}

// Exceptions are the servers that the lists do not count for, and whether each is federated with.
func (p ServerPolicy) Exceptions() map[ident.ServerName]bool {
	if p.exceptions == nil {
		return map[ident.ServerName]bool{}
	}
	p.exceptions.mu.Lock()
	defer p.exceptions.mu.Unlock()
	return maps.Clone(p.exceptions.allowed)
}

func (p ServerPolicy) exception(server ident.ServerName) (allowed, found bool) {
	if p.exceptions == nil {
		return false, false
	}
	p.exceptions.mu.Lock()
	defer p.exceptions.mu.Unlock()
	allowed, found = p.exceptions.allowed[server]
	return allowed, found
}
