// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"fmt"
	"net/http"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// refusedRoom is how many events of the room a server must be unable to take before others may take it for one that refuses the room.
const refusedRoom = 3

// misparked is what servers have set aside for one that refuses other events and not these, in words.
func (w *World) misparked() (wrong []string, err error) {
	for _, n := range w.nodes {
		server := n.await()
		if server == nil || n.liar != nil {
			continue
		}
		err := server.Store().View(context.Background(), func(tx *persistence.Tx) error {
			list, err := tx.ParkedItems("", persistence.MaxParked)
			for _, p := range list {
				if p.Status == http.StatusBadRequest && !w.Net.cannotTake(p.Server, p.Content) {
					wrong = append(wrong, fmt.Sprintf("%s keeps %s from %s, which has not refused it", n.name, p.EventID, p.Server))
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return wrong, nil
}

// cannotTake says whether a server refuses an event, or so many that it may be all of them.
func (n *Network) cannotTake(server ident.ServerName, pdu []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.ailing[string(server)]
	if a == nil {
		return false
	}
	return len(a.poison) >= refusedRoom || a.poisoned(fmt.Appendf(nil, `{"pdus":[%s]}`, pdu))
}

func onlyRefusedIsParked(e End) []string { return e.Misparked }
