// SPDX-License-Identifier: Apache-2.0

package adminapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// Config is what the API is made of; all of it is needed.
type Config struct {
	ServerName ident.ServerName
	Version    string // of the software
	Token      string // that callers must have
	Store      *persistence.Store
	Outbox     *transaction.Outbox
}

// handler answers. It is immutable.
type handler struct {
	config Config
	token  [sha256.Size]byte // compared in place of the token, so that its length is not told either
}

// NewHandler makes the API. It refuses to be without a token.
func NewHandler(config Config) (http.Handler, error) {
	if len(config.Token) < MinToken {
		return nil, fmt.Errorf("admin token of %d characters: at least %d cannot be guessed", len(config.Token), MinToken)
	}
	h := &handler{config: config, token: sha256.Sum256([]byte(config.Token))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_matrix/client/versions", h.answer(h.versions))
	mux.HandleFunc("GET /_matrix/client/v3/account/whoami", h.guarded(h.whoAmI))
	mux.HandleFunc("GET "+admin+"server_version", h.answer(h.version))
	mux.HandleFunc("GET "+destinations, h.guarded(h.list))
	mux.HandleFunc("GET "+destinations+"/{destination}", h.guarded(h.show))
	mux.HandleFunc("GET "+destinations+"/{destination}/rooms", h.guarded(h.rooms))
	mux.HandleFunc("POST "+destinations+"/{destination}/reset_connection", h.guarded(h.reset))
	mux.HandleFunc("/", h.answer(func(*http.Request) (any, error) {
		return nil, &refusal{http.StatusNotFound, "M_UNRECOGNIZED", "Unrecognized request"}
	}))
	return crossOrigin(mux), nil
}

const (
	admin        = "/_synapse/admin/v1/"
	destinations = admin + "federation/destinations"
	// MinToken is how many characters a token must have: 16 of the base64 alphabet are 96 bits.
	MinToken = 16
)

// refusal is an error as a caller gets it.
type refusal struct {
	status  int
	code    string
	message string
}

// Error is the message.
func (r *refusal) Error() string { return r.message }

func invalid(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, "M_INVALID_PARAM", fmt.Sprintf(format, args...)}
}

// answer makes a handler of what gives an answer or an error.
func (h *handler) answer(give func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := give(r)
		status := http.StatusOK
		if err != nil {
			refused := &refusal{http.StatusInternalServerError, "M_UNKNOWN", err.Error()}
			_ = errors.As(err, &refused)
			status = refused.status
			body = struct {
				Code    string `json:"errcode"`
				Message string `json:"error"`
			}{refused.code, refused.message}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // who does not wait for it does not need it
	}
}

// guarded is answer for those who have the token.
func (h *handler) guarded(give func(*http.Request) (any, error)) http.HandlerFunc {
	return h.answer(func(r *http.Request) (any, error) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !found {
			token = r.URL.Query().Get("access_token")
		}
		if token == "" {
			return nil, &refusal{http.StatusUnauthorized, "M_MISSING_TOKEN", "Missing access token"}
		}
		if given := sha256.Sum256([]byte(token)); subtle.ConstantTimeCompare(given[:], h.token[:]) != 1 {
			return nil, &refusal{http.StatusUnauthorized, "M_UNKNOWN_TOKEN", "Invalid access token passed."}
		}
		return give(r)
	})
}

// crossOrigin lets pages of any origin ask, as Matrix APIs do ("Web Browser Clients" in the Client-Server API).
func crossOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		header.Set("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// versions says that there is no client API but this.
func (h *handler) versions(*http.Request) (any, error) {
	return map[string]any{"versions": []string{}}, nil
}

func (h *handler) version(*http.Request) (any, error) {
	return map[string]string{"server_version": "Strata " + h.config.Version}, nil
}

// whoAmI gives whoever has the token a name, which tools show.
func (h *handler) whoAmI(*http.Request) (any, error) {
	return map[string]any{"user_id": "@operator:" + string(h.config.ServerName), "is_guest": false}, nil
}
