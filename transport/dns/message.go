// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// question is what one message asks.
type question struct {
	name string // lower case, without the final dot
	kind dnsmessage.Type
}

// key is what an answer is kept under.
func (q question) key() string { return q.kind.String() + " " + q.name }

// answer is what the DNS says to a question: records, or that there are none.
type answer struct {
	question
	canonical string // the name that has the records, at the end of the aliases
	addresses []netip.Addr
	services  []Service
	fetched   time.Time
	until     time.Time
}

func (a answer) isEmpty() bool { return len(a.addresses)+len(a.services) == 0 }

// Errors of reading a message. errStray is no answer to what was asked: an attacker's guess, or a late packet.
var (
	errStray     = errors.New("not an answer to the question")
	errTruncated = errors.New("answer is cut short")
)

// pack makes the message that asks q (RFC 1035 §4.1), with the size of answers that we take (RFC 6891).
func (q question) pack(id uint16) ([]byte, error) {
	name, err := dnsmessage.NewName(q.name + ".")
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", q.name, err)
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(dnsmessage.Question{Name: name, Type: q.kind, Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	if err := b.StartAdditionals(); err != nil {
		return nil, err
	}
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	if err := b.OPTResource(edns, dnsmessage.OPTResource{}); err != nil {
		return nil, err
	}
	return b.Finish()
}

// read takes from a message what it answers to q. Everything in it is the other side's: whoever runs the zone, or can send packets.
func (q question) read(message []byte, id uint16, now time.Time) (answer, error) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || !header.Response || header.ID != id {
		return answer{}, errStray
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) != 1 || asked[0].Type != q.kind || plain(asked[0].Name) != q.name {
		return answer{}, errStray
	}
	switch {
	case header.Truncated:
		return answer{}, errTruncated
	case header.RCode != dnsmessage.RCodeSuccess && header.RCode != dnsmessage.RCodeNameError:
		return answer{}, fmt.Errorf("server says %s", strings.TrimPrefix(header.RCode.String(), "RCode"))
	}
	a, ttl, err := q.readAnswers(&p)
	if err != nil {
		return answer{}, fmt.Errorf("malformed answer: %w", err)
	}
	fresh := min(max(ttl, minFresh), maxFresh)
	if a.isEmpty() {
		fresh = readNothing(&p)
	}
	a.fetched, a.until = now, now.Add(fresh)
	return a, nil
}

// readAnswers follows the aliases from the name asked for, and takes the records of the name that they end at.
func (q question) readAnswers(p *dnsmessage.Parser) (a answer, ttl time.Duration, err error) {
	type record struct {
		owner string
		ttl   time.Duration
		body  dnsmessage.ResourceBody
	}
	var records []record
	aliases := map[string]record{}
	for {
		r, err := p.Answer()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return a, 0, err
		}
		found := record{plain(r.Header.Name), time.Duration(r.Header.TTL) * time.Second, r.Body}
		switch {
		case r.Header.Class != dnsmessage.ClassINET:
		case r.Header.Type == dnsmessage.TypeCNAME && len(aliases) < maxAliases:
			aliases[found.owner] = found
		case r.Header.Type == q.kind && len(records) < maxRecords:
			records = append(records, found)
		}
	}
	a, ttl = answer{question: q, canonical: q.name}, maxFresh
	for range maxAliases {
		alias, found := aliases[a.canonical]
		if !found {
			break
		}
		a.canonical, ttl = plain(alias.body.(*dnsmessage.CNAMEResource).CNAME), min(ttl, alias.ttl)
	}
	for _, r := range records {
		if r.owner == a.canonical {
			a.take(r.body)
			ttl = min(ttl, r.ttl)
		}
	}
	return a, ttl, nil
}

func (a *answer) take(body dnsmessage.ResourceBody) {
	switch r := body.(type) {
	case *dnsmessage.AResource:
		a.addresses = append(a.addresses, netip.AddrFrom4(r.A))
	case *dnsmessage.AAAAResource:
		a.addresses = append(a.addresses, netip.AddrFrom16(r.AAAA))
	case *dnsmessage.SRVResource:
		a.services = append(a.services, Service{Target: plain(r.Target), Port: r.Port, Priority: r.Priority, Weight: r.Weight})
	}
}

// readNothing is how long it may be believed that there is nothing: the zone's SOA record says it (RFC 2308 §5).
func readNothing(p *dnsmessage.Parser) time.Duration {
	for {
		r, err := p.Authority()
		if err != nil { // the end, or malformed: then nothing is said
			return defaultNothing
		}
		if soa, ok := r.Body.(*dnsmessage.SOAResource); ok {
			seconds := min(r.Header.TTL, soa.MinTTL)
			return min(max(time.Duration(seconds)*time.Second, minFresh), maxNothing)
		}
	}
}

// plain is a name in lower case (names compare so, RFC 4343) and without the final dot.
func plain(name dnsmessage.Name) string { return lower(name.String()) }

func lower(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
