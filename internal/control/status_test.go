// SPDX-License-Identifier: Apache-2.0

package control

import (
	"path/filepath"
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

// A running server tells how much there is to do; a file has nobody who does it.
func TestStatus(t *testing.T) {
	client := newServer(t)
	if _, err := client.CreateRoom(t.Context(), CreateRoom{Creator: "alice"}); err != nil {
		t.Fatal(err)
	}
	status, err := client.Status(t.Context())
	if err != nil || status.StoreTook < 0 || status.QueuedPDUs != 0 || status.Servers != 0 || status.Ready != 0 {
		t.Errorf("%+v, %v", status, err)
	}
	store, err := persistence.Open(t.Context(), persistence.Options{Path: filepath.Join(t.TempDir(), "s.db"), ServerName: "a", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if got := kindOfCall(Direct("file", NewFileHandler(store)).Status(t.Context())); got != Usage {
		t.Errorf("of a file: %q, want %q", got, Usage)
	}
}
