// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const signPath = "/_matrix/policy/v1/sign"

// maxAsked bounds what a policy server reads of an event.
const maxAsked = 1 << 17

// police is what makes a server a room's policy server: it signs events, with a key of its own, or refuses to. mu guards refused.
type police struct {
	node   *node
	key    signing.Key
	server policy.Server // as others know it

	mu      sync.Mutex
	refused []ident.ServerName // whose users' events it does not sign
}

func newPolice(n *node) (*police, error) {
	material := make([]byte, 32)
	copy(material, "the policy of "+string(n.name))
	key, err := signing.NewKey(policy.KeyID, material)
	if err != nil {
		return nil, err
	}
	p := &police{node: n, key: key}
	content, err := json.Marshal(p.content())
	if err != nil {
		return nil, err
	}
	parsed, err := canonicaljson.Parse(content, canonicaljson.Lenient)
	if err != nil {
		return nil, err
	}
	var complete bool
	if p.server, complete = policy.Of(parsed); !complete {
		return nil, fmt.Errorf("%s names no policy server", content)
	}
	return p, nil
}

// content is that of an event that names it.
func (p *police) content() map[string]any {
	return map[string]any{"via": p.node.name, "public_keys": map[string]string{"ed25519": signing.EncodeBase64(p.key.Public())}}
}

func (p *police) refuse(server ident.ServerName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = append(p.refused, server)
}

// around answers what is asked of a policy server (E-36), and leaves the rest to the server that it is besides.
func (p *police) around(rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != signPath {
			rest.ServeHTTP(w, r)
			return
		}
		signature, err := p.sign(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"errcode": "M_FORBIDDEN", "error": err.Error()}) // a recorder takes everything
			return
		}
		_ = json.NewEncoder(w).Encode(map[ident.ServerName]map[ident.KeyID]string{p.node.name: {policy.KeyID: signature}})
	})
}

func (p *police) sign(body io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxAsked))
	if err != nil {
		return "", err
	}
	version, _ := event.VersionOf(p.node.world.Version)
	e, err := event.Parse(version, text)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	refused := slices.Contains(p.refused, e.Sender().Server())
	p.mu.Unlock()
	if refused {
		return "", fmt.Errorf("nothing of %s is wanted", e.Sender().Server())
	}
	if !policy.Concerns(e) {
		p.node.world.fault("M-101: %s was asked about %s, which names it", p.node.name, e.ID())
	}
	signed, err := signing.SignJSON(e.Redact().JSON(), p.node.name, p.key)
	if err != nil {
		return "", err
	}
	found, err := canonicaljson.Parse(signed, canonicaljson.Lenient)
	if err != nil {
		return "", err
	}
	signature, _ := found.Get("signatures").Get(string(p.node.name)).Get(string(policy.KeyID)).Text()
	return signature, nil
}

// parsePolice declares a server to be a policy server, from the beginning on; or has it refuse what users of another make.
func (s *Script) parsePolice(words []string) (func(*World), error) {
	if len(words) == 0 || !slices.Contains(s.Servers, words[0]) || s.Police != "" && s.Police != words[0] {
		return nil, errors.New("a server is needed, and there is one at most")
	}
	letter := words[0]
	s.Police = letter
	if len(words) == 1 {
		return func(*World) {}, nil
	}
	if len(words) != 3 || words[1] != "refuses" || !slices.Contains(s.Servers, words[2]) {
		return nil, errors.New("it can only refuse what another server makes")
	}
	return func(w *World) { w.actors[letter].node.police.refuse(ident.ServerName(words[2] + ".example")) }, nil
}

// parsePolices has a user name the policy server.
func (s *Script) parsePolices(words []string) (func(*actor), error) {
	if len(words) != 1 || words[0] != s.Police {
		return nil, errors.New("a policy server is needed: declare it before")
	}
	return func(a *actor) {
		p := a.world.actors[s.Police].node.police
		a.note(a.breathe().SendState(context.Background(), a.world.Room(), a.node.user, policy.Slot.Type, policy.Slot.Key, p.content()))
	}, nil
}

// unsigned says whether the policy server has not signed an event that it is asked about.
func (w *World) unsigned(e *event.Event) bool {
	for _, n := range w.nodes {
		if n.police != nil {
			return policy.Concerns(e) && n.police.server.Check(e) != nil
		}
	}
	return false
}

// withoutPolicy says whether an event was not sent, since the policy server did not sign it.
func withoutPolicy(err error) bool {
	var unsigned *pdu.PolicyError
	return errors.As(err, &unsigned)
}

// policyHolds: of what comes after the policy server was named, those who were there accept with its signature only (P-30).
func policyHolds(e End) (wrong []string) {
	for _, named := range e.policies() {
		under := e.after(named)
		for _, s := range e.joined() {
			there := e.after(s.arrival())
			for id, k := range s.Events {
				if k.Unsigned && s.has(id) && under(id) && there(id) {
					wrong = append(wrong, fmt.Sprintf("%s accepted %s, which the policy server has not signed", s.Server, s.describe(id)))
				}
			}
		}
	}
	return wrong
}

// policies is the events that name the policy server.
func (e End) policies() (list []ident.EventID) {
	for id, k := range e.Snapshots[0].Events {
		if strings.HasPrefix(k.About, policy.Slot.Type+" ") && e.Snapshots[0].has(id) {
			list = append(list, id)
		}
	}
	return list
}

// policed says whether a verdict is that the policy server has not signed, or could not be asked (M-104, M-106).
func policed(v pdu.Verdict) bool {
	rule := v.Decisive().Rule
	return v.Outcome == pdu.SoftFailed && (rule == "M-104" || rule == "M-106")
}
