// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// A redaction of either side empties the event on both.
func TestRedactionsTakeEffect(t *testing.T) {
	p := newPair(t)
	for _, version := range []string{"1", "3", "10", "11", "12"} {
		t.Run("v"+version, func(t *testing.T) {
			ctx, cancel := bounded(t, scenarioTimeout)
			defer cancel()
			room := p.room(ctx, t, version)
			for _, turn := range []struct {
				name            string
				speaker, censor Member
			}{
				{"own message, by Strata", p.alice, p.alice},
				{"own message, by Synapse", p.bob, p.bob},
				{"message of another server's user, by power", p.bob, p.alice},
			} {
				id, err := turn.speaker.Send(ctx, room, "I should not have said this")
				if err != nil {
					t.Fatal(err)
				}
				for _, member := range []Member{p.alice, p.bob} {
					if _, err := member.Await(ctx, room, id); err != nil {
						t.Fatal(err)
					}
				}
				redaction, err := turn.censor.Redact(ctx, room, id)
				if err != nil {
					t.Fatalf("%s: %v", turn.name, err)
				}
				for _, member := range []Member{p.alice, p.bob} {
					if _, err := member.Await(ctx, room, redaction); err != nil {
						t.Fatalf("%s: %v", turn.name, err)
					}
					if err := awaitEmpty(ctx, room, member, id); err != nil {
						t.Errorf("%s: %v", turn.name, err)
					}
				}
			}
		})
	}
}

// awaitEmpty waits until a server shows nothing of an event's content.
func awaitEmpty(ctx context.Context, room string, member Member, id string) error {
	pause := time.NewTicker(readyPoll)
	defer pause.Stop()
	for {
		e, err := member.Event(ctx, room, id)
		if err != nil {
			return err
		}
		var content map[string]json.RawMessage
		if err := json.Unmarshal(e.Content, &content); err != nil {
			return err
		}
		if len(content) == 0 {
			return nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is still %s by %s", id, e.Content, member.ID())
		}
	}
}
