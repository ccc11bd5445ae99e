// SPDX-License-Identifier: Apache-2.0

package casefile

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// keyTable is the keys of a file. It implements event.KeySource. A file does not say how long a key is valid: it always is.
type keyTable map[ident.ServerName]map[ident.KeyID]ed25519.PublicKey

// Keys implements event.KeySource.
func (t keyTable) Keys(_ context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	found := make(map[keys.Query]ed25519.PublicKey, len(queries))
	for _, q := range queries {
		if key, ok := t[q.Server][q.KeyID]; ok {
			found[q] = key
		}
	}
	return found
}

// keys reads the public keys by server and key id; nil if the file has none.
func (o object) keys() (keyTable, error) {
	if _, ok := o["keys"]; !ok {
		return nil, nil
	}
	var servers map[string]map[string]string
	if err := o.read("keys", &servers, "an object of objects of public keys in base64"); err != nil {
		return nil, err
	}
	table := make(keyTable, len(servers))
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		server, err := ident.ParseServerName(name)
		if err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		table[server] = make(map[ident.KeyID]ed25519.PublicKey, len(servers[name]))
		for _, id := range slices.Sorted(maps.Keys(servers[name])) {
			key, err := readKey(id, servers[name][id])
			if err != nil {
				return nil, fmt.Errorf("keys of %s: %w", server, err)
			}
			table[server][ident.KeyID(id)] = key
		}
	}
	return table, nil
}

func readKey(id, text string) (ed25519.PublicKey, error) {
	if _, err := ident.ParseKeyID(id); err != nil {
		return nil, err
	}
	key, err := signing.DecodeBase64(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%s has %d bytes, not %d", id, len(key), ed25519.PublicKeySize)
	}
	return key, nil
}
