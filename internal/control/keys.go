// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// What can be asked about signing keys.
var (
	opOwnKeys    = operation[struct{}, OwnKeys]{"keys/own"}
	opRotateKeys = operation[RotateKeys, OwnKeys]{"keys/rotate"}
)

// OwnKeys is a server's own keys.
type OwnKeys struct {
	ServerName string   `json:"server_name,omitempty"` // "" when a file was read, which does not name it
	KeyFile    string   `json:"key_file,omitempty"`    // "" when the program gave the key
	Keys       []OwnKey `json:"keys"`
	// Document is what other servers are given.
	Document json.RawMessage `json:"document,omitempty"`
}

// OwnKey is one of them, without its secret.
type OwnKey struct {
	KeyID     string `json:"key_id"`
	Public    string `json:"public_key"` // base64
	Phase     string `json:"phase"`      // published, signs, retiring or retired
	From      int64  `json:"signs_from_ts,omitempty"`
	ExpiredTS int64  `json:"expired_ts,omitempty"`
}

// RotateKeys orders a new key, which signs after the overlap.
type RotateKeys struct {
	Overlap int64 `json:"overlap_ms"`
}

// OwnKeys lists the server's own keys.
func (c *Client) OwnKeys(ctx context.Context) (OwnKeys, error) {
	return ask(ctx, c, opOwnKeys, struct{}{})
}

// RotateKeys has the server make a new key.
func (c *Client) RotateKeys(ctx context.Context, order RotateKeys) (OwnKeys, error) {
	return ask(ctx, c, opRotateKeys, order)
}

// ShowOwnKeys is how keys are shown, those of a file too.
func ShowOwnKeys(all []keys.OwnKey) []OwnKey {
	shown := make([]OwnKey, len(all))
	for i, k := range all {
		shown[i] = OwnKey{
			KeyID: string(k.ID), Public: signing.EncodeBase64(k.Public), Phase: string(k.Phase), From: k.From, ExpiredTS: k.ExpiredAt,
		}
	}
	return shown
}

func (h *handler) ownKeys(context.Context, struct{}) (OwnKeys, error) {
	if h.server == nil {
		return OwnKeys{}, &Error{Kind: Usage, Message: "the database holds no signing key: name the key file with --key-file"}
	}
	own, now := h.server.OwnKeys(), time.Now()
	return OwnKeys{
		ServerName: string(own.Server()), KeyFile: own.Path(), Keys: ShowOwnKeys(own.At(now)), Document: own.Published(now),
	}, nil
}

func (h *handler) rotateKeys(ctx context.Context, order RotateKeys) (OwnKeys, error) {
	if h.server == nil {
		return OwnKeys{}, errNoServer
	}
	if most := keys.MaxOverlap.Milliseconds(); order.Overlap < 0 || order.Overlap > most {
		return OwnKeys{}, usage(fmt.Errorf("overlap of %d ms: from 0 to %d", order.Overlap, most))
	}
	err := h.server.OwnKeys().Rotate(time.Duration(order.Overlap) * time.Millisecond)
	switch {
	case errors.Is(err, keys.ErrRotating), errors.Is(err, keys.ErrNoKeyFile), errors.Is(err, keys.ErrKeyFileChanged):
		return OwnKeys{}, &Error{Kind: Refused, Message: err.Error()}
	case err != nil:
		return OwnKeys{}, err
	}
	return h.ownKeys(ctx, struct{}{})
}

// parseServer reads a server name of a question.
func parseServer(name string) (ident.ServerName, error) {
	server, err := ident.ParseServerName(name)
	if err != nil {
		return "", usage(err)
	}
	return server, nil
}
