// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"fmt"
	"slices"
	"testing"
)

// TestSearchUsers is the Client-Server API, "User Directory": found is who shares a room with the caller, or is in a public one.
func TestSearchUsers(t *testing.T) {
	s := open(t)
	const createRoom = "/_matrix/client/v3/createRoom"
	alice, bob, carol := s.register("alice"), s.register("bob"), s.register("carol")
	s.register("dora")
	private := s.ask("POST", createRoom, alice, object{"preset": "private_chat", "invite": []string{"@bob:a.example"}}).text("room_id")
	if a := s.ask("POST", "/_matrix/client/v3/join/"+private, bob, object{}); a.status != 200 {
		t.Fatalf("join: %+v", a)
	}
	s.ask("POST", createRoom, carol, object{"preset": "public_chat", "visibility": "public"})
	search := func(token, term string, limit int) (ids []string, limited bool) {
		t.Helper()
		a := s.ask("POST", "/_matrix/client/v3/user_directory/search", token, object{"search_term": term, "limit": limit})
		results, ok := a.members["results"].([]any)
		if a.status != 200 || !ok {
			t.Fatalf("search: %+v", a)
		}
		for _, result := range results {
			ids = append(ids, fmt.Sprint(result.(object)["user_id"]))
		}
		slices.Sort(ids)
		limited, _ = a.members["limited"].(bool)
		return ids, limited
	}
	for _, c := range []struct {
		token, term string
		want        []string
	}{
		{alice, "BO", []string{"@bob:a.example"}},
		{alice, "@bob", []string{"@bob:a.example"}},
		{alice, "a.example", []string{"@alice:a.example", "@bob:a.example", "@carol:a.example"}},
		{carol, "a.example", []string{"@carol:a.example"}},
		{alice, "dora", nil},
	} {
		if got, limited := search(c.token, c.term, 10); !slices.Equal(got, c.want) || limited {
			t.Errorf("%q finds %v, limited %v; want %v", c.term, got, limited, c.want)
		}
	}
	if got, limited := search(alice, "", 1); len(got) != 1 || !limited {
		t.Errorf("one of many: %v, limited %v", got, limited)
	}
	if a := s.ask("POST", "/_matrix/client/v3/user_directory/search", alice, object{}); a.code() != "M_MISSING_PARAM" {
		t.Errorf("no term: %+v", a)
	}
}
