// SPDX-License-Identifier: Apache-2.0

package load

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// origin is one server that makes load. It does not change once it is open, but for its rooms, which guard themselves, and its
// parcels, which belong to the goroutine that builds or sends.
type origin struct {
	name    ident.ServerName
	key     signing.Key
	keys    []byte // its key document
	network *transport.Network
	client  *transport.Client
	server  *http.Server

	rooms   []*room
	parcels []parcel // to be sent, in order
}

// openOrigin makes a server that answers on a port of its own.
func openOrigin(o Options, number int) (*origin, error) {
	port := 0
	if o.Port != 0 {
		port = o.Port + number
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.Address, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	key, err := signing.GenerateKey()
	if err != nil {
		listener.Close()
		return nil, err
	}
	_, taken, _ := net.SplitHostPort(listener.Addr().String())
	origin := &origin{name: ident.ServerName(o.Host + ":" + taken), key: key}
	if origin.keys, err = KeyDocument(origin.name, key, time.Now()); err != nil {
		listener.Close()
		return nil, err
	}
	origin.network, err = transport.NewNetwork(transport.NetworkConfig{AllowPrivate: o.AllowPrivate, Trust: transport.Trust{Roots: o.RootCAs}})
	if err != nil {
		listener.Close()
		return nil, err
	}
	origin.client = transport.NewClient(transport.ClientConfig{
		ServerName: origin.name, Key: key, Network: origin.network, UserAgent: "Strata load",
	})
	origin.server = &http.Server{Handler: origin.routes(), TLSConfig: o.TLS.Clone(), ReadHeaderTimeout: headerTime}
	go func() { _ = origin.server.Serve(tls.NewListener(listener, o.TLS)) }() // ends with close; a target that is not answered asks again
	return origin, nil
}

func (o *origin) close() {
	o.network.Close()
	_ = o.server.Close() // nothing of it is kept
}

// KeyDocument is what a server publishes.
func KeyDocument(name ident.ServerName, key signing.Key, now time.Time) ([]byte, error) {
	text, err := canonicaljson.Marshal(map[string]any{
		"server_name":     name,
		"valid_until_ts":  now.Add(keyValidity).UnixMilli(),
		"verify_keys":     map[ident.KeyID]any{key.ID: map[string]string{"key": signing.EncodeBase64(key.Public())}},
		"old_verify_keys": map[string]any{},
	})
	if err != nil {
		return nil, fmt.Errorf("key document of %s: %w", name, err)
	}
	return signing.SignJSON(text, name, key)
}

// room finds one of the origin's rooms.
func (o *origin) room(id string) *room {
	for _, r := range o.rooms {
		if string(r.id) == id {
			return r
		}
	}
	return nil
}
