// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"fmt"
)

// parseVeils has a user show history to those only who were there.
func (s *Script) parseVeils(words []string) (func(*actor), error) {
	s.Veiled = true
	return func(a *actor) {
		content := map[string]string{"history_visibility": "joined"}
		a.note(a.breathe().SendState(context.Background(), a.world.Room(), a.node.user, visibilityType, "", content))
	}, none(words)
}

const visibilityType = "m.room.history_visibility"

// historyIsVeiled: of what was said under the veil before a server came into the room, it has no more than redaction leaves.
func historyIsVeiled(e End) (wrong []string) {
	for _, veil := range e.veils() {
		under := e.after(veil.ID)
		for _, s := range e.joined() {
			arrival := s.arrival()
			if arrival == "" {
				continue
			}
			for id, k := range s.Events {
				if k.Said && k.Sender != s.User && under(id) && e.after(id)(arrival) {
					wrong = append(wrong, fmt.Sprintf("%s sees %s, from before its join", s.Server, s.describe(id)))
				}
			}
		}
	}
	return wrong
}

func (e End) veils() (list []Known) {
	for _, k := range e.Snapshots[0].Events {
		if k.Veil {
			list = append(list, k)
		}
	}
	return list
}
