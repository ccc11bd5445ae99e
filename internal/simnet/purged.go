// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
)

// parsePurged declares a server to have forgotten what was said long ago, as those do whose operators purge history.
func (s *Script) parsePurged(words []string) (func(*World), error) {
	if len(words) != 1 || !slices.Contains(s.Servers, words[0]) {
		return nil, errors.New("a server is needed")
	}
	s.Purged = append(s.Purged, words[0])
	return func(*World) {}, nil
}

// withoutPast is a server that gives no events but those that a state consists of: whoever lacks others has to be content with the state.
func withoutPast(whole http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/_matrix/federation/v1/get_missing_events/"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"events":[]}`)) // whoever asked has gone away, if it fails
			return
		case strings.HasPrefix(path, "/_matrix/federation/v1/event/"):
			given := httptest.NewRecorder()
			whole.ServeHTTP(given, r)
			var answer struct {
				PDUs []struct {
					StateKey *string `json:"state_key"`
				} `json:"pdus"`
			}
			if json.Unmarshal(given.Body.Bytes(), &answer) == nil && len(answer.PDUs) == 1 && answer.PDUs[0].StateKey != nil {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(given.Body.Bytes())
				return
			}
			http.Error(w, `{"errcode":"M_NOT_FOUND","error":"purged"}`, http.StatusNotFound)
			return
		}
		whole.ServeHTTP(w, r)
	})
}
