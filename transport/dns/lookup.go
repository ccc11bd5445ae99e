// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ErrNoAddress says that the DNS knows no address of a host. To ask again at once is of no use.
var ErrNoAddress = errors.New("has no address")

// Addresses are those of a host.
type Addresses struct {
	Host string
	// Canonical is the name at the end of the aliases (CNAME), Host when there are none.
	Canonical string
	// List has IPv6 and IPv4 addresses in turn, IPv6 first (RFC 8305 §4). Never empty.
	List []netip.Addr
	// Until is how long they are good; zero for those of the hosts file.
	Until time.Time
	// Kept tells that no server was asked.
	Kept bool
}

// Service is one SRV record (RFC 2782). A Target of "" is the root: no such service.
type Service struct {
	Target                 string
	Port, Priority, Weight uint16
}

// Services are the SRV records of a name. None is an answer too.
type Services struct {
	Name      string // such as _matrix-fed._tcp.example.org
	Canonical string
	List      []Service
	Until     time.Time
	Kept      bool
}

// Addresses looks up host, which is no IP address. fresh asks the DNS also when an answer is kept. The error wraps ErrNoAddress when
// there is none.
func (c *Client) Addresses(ctx context.Context, host string, fresh bool) (Addresses, error) {
	host = lower(host)
	if list := c.system.hosts(host); len(list) > 0 {
		return Addresses{Host: host, Canonical: host, List: alternate(list), Kept: true}, nil
	}
	type reply struct {
		answer
		kept bool
		err  error
	}
	replies := make(chan reply, 1)
	go func() { // ends with ctx, or with the look-up
		a, kept, err := c.look(ctx, question{host, dnsmessage.TypeAAAA}, fresh)
		replies <- reply{a, kept, err}
	}()
	four, kept, err := c.look(ctx, question{host, dnsmessage.TypeA}, fresh)
	six := <-replies
	found := Addresses{Host: host, Canonical: host, Kept: kept && six.kept}
	for _, a := range []answer{six.answer, four} {
		if len(a.addresses) > 0 {
			found.List = append(found.List, a.addresses...)
			found.Canonical, found.Until = a.canonical, earlier(found.Until, a.until)
		}
	}
	if err = cmp.Or(err, six.err); len(found.List) == 0 && err != nil {
		return Addresses{}, err // of the other kind it is not known whether there are any
	}
	if len(found.List) == 0 {
		return Addresses{}, fmt.Errorf("%s %w", host, ErrNoAddress)
	}
	found.List = alternate(found.List)
	return found, nil
}

// Services looks up the SRV records of name. fresh asks the DNS also when an answer is kept.
func (c *Client) Services(ctx context.Context, name string, fresh bool) (Services, error) {
	a, kept, err := c.look(ctx, question{lower(name), dnsmessage.TypeSRV}, fresh)
	if err != nil {
		return Services{}, err
	}
	return Services{Name: a.name, Canonical: a.canonical, List: a.services, Until: a.until, Kept: kept}, nil
}

// earlier is the earlier of two times of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// alternate puts addresses of both kinds in turn, IPv6 first, so that a network in which one kind does not work costs one attempt.
func alternate(list []netip.Addr) []netip.Addr {
	var six, four []netip.Addr
	for _, addr := range list {
		if addr.Is4() {
			four = append(four, addr)
		} else {
			six = append(six, addr)
		}
	}
	ordered := make([]netip.Addr, 0, len(list))
	for i := range max(len(six), len(four)) {
		ordered = append(ordered, six[min(i, len(six)):min(i+1, len(six))]...)
		ordered = append(ordered, four[min(i, len(four)):min(i+1, len(four))]...)
	}
	return ordered
}

// Record is a kept answer as it is shown.
type Record struct {
	Name    string
	Type    string   // A, AAAA or SRV
	Values  []string // none: the DNS says that there is nothing
	Alias   string   // the canonical name, "" when it is Name
	Targets []string // the hosts that services lead to
	Fetched time.Time
	Until   time.Time
}

// Len is how many answers are kept.
func (c *Client) Len() int { return c.kept.Len() }

// Kept lists what is kept, by name, the expired included.
func (c *Client) Kept() []Record {
	var list []Record
	for _, a := range c.kept.All() {
		r := Record{Name: a.name, Type: strings.TrimPrefix(a.kind.String(), "Type"), Values: a.values(), Fetched: a.fetched, Until: a.until}
		if a.canonical != a.name {
			r.Alias = a.canonical
		}
		for _, s := range a.services {
			r.Targets = append(r.Targets, s.Target)
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Record) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type)) })
	return list
}

// values are the records as a zone file has them.
func (a answer) values() (list []string) {
	for _, addr := range a.addresses {
		list = append(list, addr.String())
	}
	for _, s := range a.services {
		list = append(list, fmt.Sprintf("%d %d %d %s.", s.Priority, s.Weight, s.Port, s.Target))
	}
	return list
}

// Forget drops the answers about name, or about every name with "", unless they were learnt after since. It tells how many.
func (c *Client) Forget(name string, since time.Time) (n int) {
	old := func(a answer) bool { return !a.fetched.After(since) }
	if name == "" {
		return c.kept.Drop(func(_ string, a answer) bool { return old(a) })
	}
	for _, kind := range kinds {
		if c.kept.DropKey(question{lower(name), kind}.key(), old) {
			n++
		}
	}
	return n
}
