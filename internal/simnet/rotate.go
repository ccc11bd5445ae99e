// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// keyFile is where a server keeps its keys over its lives.
func (n *node) keyFile() string { return filepath.Join(n.dir, "signing.key") }

// vouches checks an event's signature with the keys that its server really had, each in its time.
func (n *node) vouches(e *event.Event) error {
	plan, err := keys.Load(n.keyFile())
	if err != nil {
		return err
	}
	err = errors.New("no key of the server signed it in its time")
	for _, k := range plan.At(time.Now().UnixMilli()) {
		if k.ExpiredAt != 0 && e.OriginServerTS() > k.ExpiredAt {
			continue
		}
		if signing.VerifyJSON(e.Redact().JSON(), n.name, k.ID, k.Public) == nil {
			return nil
		}
	}
	return err
}

// parseRotates is a new signing key, after an overlap, or at once.
func (s *Script) parseRotates(words []string) (func(*actor), error) {
	if len(words) != 1 {
		return nil, errors.New("an overlap is needed, or now")
	}
	overlap := time.Duration(0)
	if words[0] != "now" {
		var err error
		if overlap, err = duration(words[0]); err != nil {
			return nil, err
		}
	}
	return func(a *actor) { a.rotate(overlap) }, nil
}

func (a *actor) rotate(overlap time.Duration) {
	if err := a.breathe().OwnKeys().Rotate(overlap); err != nil {
		a.world.fault("%s: %v", a.node.name, err)
		return
	}
	a.world.Timeline.Add(string(a.node.name), "has a new key, which signs in %s", overlap)
}
