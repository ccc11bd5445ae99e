// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/strata-matrix/strata/internal/doctor"
	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// What can be asked about the keys of other servers.
var (
	opKeyHistory = operation[ServerRef, inspect.KeyHistory]{"keys/history"}
	opFetchKeys  = operation[ServerRef, KeyDocument]{"keys/fetch"}
	opDoctor     = operation[Examine, doctor.Report]{"doctor"}
	opAskNotary  = operation[AskNotary, Attested]{"keys/notary"}
)

// KeyDocument is a key document as its server gave it just now, and what there is to say about it. Nothing of it is stored.
type KeyDocument struct {
	doctor.KeyReport
	Document json.RawMessage `json:"document"`
}

// AskNotary asks a notary, or with none the server itself, for a server's keys.
type AskNotary struct {
	Server string `json:"server"`
	Notary string `json:"notary,omitempty"`
}

// Attested is what one source says of a server's keys.
type Attested struct {
	Source string    `json:"source"` // the notary, or the server itself
	Keys   []ToldKey `json:"keys"`
	Error  string    `json:"error,omitempty"` // why some of what it said does not count, or why it said nothing
	Until  int64     `json:"valid_until_ts,omitempty"`
}

// ToldKey is one key.
type ToldKey struct {
	KeyID     string `json:"key_id"`
	Public    string `json:"public_key"`           // base64
	ExpiredTS int64  `json:"expired_ts,omitempty"` // 0: current
}

// Examine asks for an examination of a server, "" for ourselves as others see us. The notaries are asked about its keys.
type Examine struct {
	Server   string   `json:"server,omitempty"`
	Notaries []string `json:"notaries,omitempty"`
}

// Doctor examines a server.
func (c *Client) Doctor(ctx context.Context, q Examine) (doctor.Report, error) {
	return ask(ctx, c, opDoctor, q)
}

// KeyHistory tells who said what of a server's keys.
func (c *Client) KeyHistory(ctx context.Context, q ServerRef) (inspect.KeyHistory, error) {
	return ask(ctx, c, opKeyHistory, q)
}

// FetchKeys asks a server for its keys.
func (c *Client) FetchKeys(ctx context.Context, q ServerRef) (KeyDocument, error) {
	return ask(ctx, c, opFetchKeys, q)
}

// AskNotary asks somebody for a server's keys.
func (c *Client) AskNotary(ctx context.Context, q AskNotary) (Attested, error) {
	return ask(ctx, c, opAskNotary, q)
}

func (h *handler) keyHistory(ctx context.Context, q ServerRef) (inspect.KeyHistory, error) {
	return h.look.Keys(ctx, q.Server)
}

func (h *handler) fetchKeys(ctx context.Context, q ServerRef) (KeyDocument, error) {
	if h.server == nil {
		return KeyDocument{}, errNoServer
	}
	server, err := parseServer(q.Server)
	if err != nil {
		return KeyDocument{}, err
	}
	raw, err := h.server.Client().FetchKeys(ctx, server)
	if err != nil {
		return KeyDocument{}, err
	}
	return KeyDocument{doctor.ExamineKeys(server, raw, time.Now()), raw}, nil
}

func (h *handler) askNotary(ctx context.Context, q AskNotary) (Attested, error) {
	if h.server == nil {
		return Attested{}, errNoServer
	}
	server, err := parseServer(q.Server)
	if err != nil {
		return Attested{}, err
	}
	notary := server
	if q.Notary != "" {
		if notary, err = parseServer(q.Notary); err != nil {
			return Attested{}, err
		}
	}
	docs, err := h.server.Keys().Hear(ctx, notary, server)
	found := Attested{Source: string(notary), Keys: []ToldKey{}}
	if err != nil {
		found.Error = err.Error()
	}
	told := map[ident.KeyID]ToldKey{} // what promises most comes last
	for _, doc := range docs {
		found.Until = max(found.Until, doc.ValidUntil)
		for id, public := range doc.Current {
			told[id] = ToldKey{KeyID: string(id), Public: signing.EncodeBase64(public)}
		}
		for id, old := range doc.Old {
			told[id] = ToldKey{KeyID: string(id), Public: signing.EncodeBase64(old.Public), ExpiredTS: old.ExpiredAt}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(told)) {
		found.Keys = append(found.Keys, told[id])
	}
	return found, nil
}

func (h *handler) doctor(ctx context.Context, q Examine) (doctor.Report, error) {
	if h.server == nil {
		return doctor.Report{}, errNoServer
	}
	if h.server.Network() == nil {
		return doctor.Report{}, &Error{Kind: Usage, Message: "this server runs in a simulated network"}
	}
	config := doctor.Config{
		Server: q.Server, Network: h.server.Network(), Client: h.server.Client(), Ring: h.server.Keys(), Notary: h.server.Keys().Trusted(),
	}
	if q.Server == "" || q.Server == string(h.server.Name()) {
		config.Server, config.Own = string(h.server.Name()), h.server.OwnKeys()
	} else {
		config.Policy = h.server.Client().Federates(ident.ServerName(q.Server))
	}
	for _, name := range q.Notaries {
		notary, err := parseServer(name)
		if err != nil {
			return doctor.Report{}, err
		}
		if !slices.Contains(config.Notary, notary) {
			config.Notary = append(config.Notary, notary)
		}
	}
	if history, err := h.look.Keys(ctx, config.Server); err == nil {
		config.Seen = map[string]string{}
		for _, said := range history.Said {
			if said.Source == config.Server {
				config.Seen[said.KeyID] = said.Public
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, doctor.Patience)
	defer cancel()
	return doctor.Run(ctx, config), nil
}
