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
// zero value federates with all. It is immutable, unless it is made adjustable.
type ServerPolicy struct {
	lists
	rulings *rulings // shared by all copies; nil for one that cannot change
}

// lists are the operator's settings. They are immutable.
type lists struct {
	only  map[ident.ServerName]bool // nil for all
	never []*regexp.Regexp
}

// rulings are what counts in place of a policy's own lists. mu guards them.
type rulings struct {
	mu      sync.Mutex
	lists   lists
	allowed map[ident.ServerName]bool // servers that the lists do not count for; false: not federated with
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
	lists, allowed, found := p.inForce(server)
	switch {
	case found && allowed:
		return nil
	case found:
		return fmt.Errorf("%w: %s was denied by an operator", ErrNotFederated, server)
	}
	return lists.check(server)
}

func (l lists) check(server ident.ServerName) error {
	if l.only != nil && !l.only[server] {
		return fmt.Errorf("%w: %s is not on the list of allowed servers", ErrNotFederated, server)
	}
	for _, pattern := range l.never {
		if pattern.MatchString(string(server)) {
			return fmt.Errorf("%w: %s is forbidden by the pattern %q", ErrNotFederated, server, pattern)
		}
	}
	return nil
}

// inForce are the lists that count now, and whether server is an exception to them.
func (p ServerPolicy) inForce(server ident.ServerName) (now lists, allowed, found bool) {
	if p.rulings == nil {
		return p.lists, false, false
	}
	p.rulings.mu.Lock()
	defer p.rulings.mu.Unlock()
	allowed, found = p.rulings.allowed[server]
	return p.rulings.lists, allowed, found
}

// Adjustable is the policy such that Except and Replace change it, and every copy made of it from now on.
func (p ServerPolicy) Adjustable() ServerPolicy {
	now, _, _ := p.inForce("")
	p.rulings = &rulings{lists: now, allowed: p.Exceptions()}
	return p
}

// Except makes a server an exception, whatever the lists say, for as long as the process runs.
func (p ServerPolicy) Except(server ident.ServerName, allowed bool) error {
	if p.rulings == nil {
		return errors.New("this policy takes no exceptions")
	}
	p.rulings.mu.Lock()
	defer p.rulings.mu.Unlock()
	if _, known := p.rulings.allowed[server]; !known && len(p.rulings.allowed) >= maxExceptions {
		return fmt.Errorf("there are %d exceptions already: write the rest into the settings", maxExceptions)
	}
	p.rulings.allowed[server] = allowed
	return nil
}

// Replace puts the lists of another policy in the place of those of an adjustable one. Exceptions stay.
func (p ServerPolicy) Replace(with ServerPolicy) {
	if p.rulings == nil {
		return
	}
	p.rulings.mu.Lock()
	defer p.rulings.mu.Unlock()
	p.rulings.lists = with.lists
}

// Exceptions are the servers that the lists do not count for, and whether each is federated with.
func (p ServerPolicy) Exceptions() map[ident.ServerName]bool {
	if p.rulings == nil {
		return map[ident.ServerName]bool{}
	}
	p.rulings.mu.Lock()
	defer p.rulings.mu.Unlock()
	return maps.Clone(p.rulings.allowed)
}
