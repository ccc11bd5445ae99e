// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// The files of a data directory.
const (
	storeFile = "strata.db"
	keyFile   = "signing.key"
)

// maxOwnName is how long the name of a server of ours may be: what then remains of the 255 bytes of a user id is a localpart
// of two dozen.
const maxOwnName = 230

// Config is what a server is made of. ServerName and DataDir are needed; the zero value of everything else is the sensible
// default.
type Config struct {
	// ServerName is the name that users and rooms of this server carry, "example.org". It cannot be changed later.
	ServerName string
	// DataDir is the directory of the database and the signing key. It is created if it is missing.
	DataDir string
	// Key signs events and requests. Without one it is read from the file KeyPath, which is created with a new key when there is
	// none. Only the keys of a file can be rotated by the server.
	Key signing.Key
	// KeyPath is the key file, "" for signing.key in DataDir. See keys.ParseFile for what it holds.
	KeyPath string
	// OldKeys were used before Key; they stay published so that older events can be verified.
	OldKeys []keys.OldKey
	// KeyValidity is how long our published keys are valid, 0 for keys.DefaultValidity.
	KeyValidity time.Duration
	// TrustedKeyServers are notaries that are believed about the keys of servers that cannot be reached, for requests and events.
	TrustedKeyServers []keys.Trusted
	// HistoryAhead is how many events of a room's history are fetched unasked after a join, and after a gap that could not be closed;
	// 0 for none. More is fetched by Engine's Backfill.
	HistoryAhead int
	// KeysTimeout is how long another server may take to give its keys, 0 for keys.DefaultTimeout.
	KeysTimeout time.Duration

	// TLS is what Serve speaks. Nil is plain HTTP, for a proxy in front that ends TLS.
	TLS *tls.Config
	// Network says how other servers are reached: which addresses and which certificates are good, whom to ask for names. What it
	// says of UserAgent, Limits and Trace does not count: these are given below for all.
	Network transport.NetworkConfig
	// Servers are those to federate with, in both directions.
	Servers transport.ServerPolicy
	// Loopback permits requests to this server itself, for tests.
	Loopback bool
	// Version of the software, as other servers are told.
	Version string

	// Core makes what the homeserver itself has and does: profiles, devices, media. What it leaves out, all where this is nil, is answered
	// as the specification says of a feature that is not there. It is called once, by Open, and what it makes may need the server: its
	// file, its engine, its calls. The server that it is given has all layers and answers nobody yet; calls of it have to wait until Open
	// has returned.
	Core func(*Server) (Core, error)
	// Annex is the homeserver's own tables in the file of DataDir; see Server.Store.
	Annex persistence.Annex

	// Retry says when servers that failed are tried again. The zero value is transaction.DefaultRetryPolicy.
	Retry transaction.RetryPolicy
	// Backlog says how much waits for servers that do not answer. The zero value is transaction.DefaultBacklog.
	Backlog transaction.Backlog
	// ClientLimits and ServerLimits bound what peers can cost. Zero fields have defaults.
	ClientLimits transport.ClientLimits
	ServerLimits transport.ServerLimits

	// Trace gets everything that happens, in every layer.
	Trace trace.Sink

	// For simulations. RoundTripper takes the place of discovery and connections: it gets requests for
	// https://<server name><path>. Jitter is that of retries and of what is done later. NoSync leaves out every sync of the disk. CommitPoint is
	// called around each commit; its error is a crash there, see persistence.Options.
	RoundTripper http.RoundTripper
	Jitter       transport.Jitter
	NoSync       bool
	CommitPoint  func(persistence.Point) error
}

// validate gives the parsed server name, or an error that names every fault.
func (c Config) validate() (ident.ServerName, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	self, err := ident.ParseServerName(c.ServerName)
	switch {
	case err != nil:
		fault("ServerName: %w", err)
	case len(self) > maxOwnName:
		fault("ServerName: %d bytes, at most %d leave room for user names", len(self), maxOwnName)
	case c.ServerName != strings.ToLower(c.ServerName):
		fault("ServerName %q: not in lower case; server names compare byte for byte", c.ServerName)
	}
	if c.DataDir == "" {
		fault("DataDir: not given")
	}
	if c.hasKey() && len(c.Key.Private) != ed25519.PrivateKeySize {
		fault("Key %s: private key of %d bytes, want %d", c.Key.ID, len(c.Key.Private), ed25519.PrivateKeySize)
	}
	if c.hasKey() && !isKeyID(c.Key.ID) {
		fault("Key: id %q is not of the form ed25519:version", c.Key.ID)
	}
	for i, old := range c.OldKeys {
		if !isKeyID(old.ID) || len(old.Public) != ed25519.PublicKeySize || old.ExpiredAt <= 0 {
			fault("OldKeys[%d] %q: needs an id of the form ed25519:version, a public key of %d bytes and the time it expired at",
				i, old.ID, ed25519.PublicKeySize)
		}
		if old.ID == c.Key.ID && c.hasKey() {
			fault("OldKeys[%d] %q: is the current key", i, old.ID)
		}
	}
	if c.TLS != nil && len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil && c.TLS.GetConfigForClient == nil {
		fault("TLS: has no certificate")
	}
	if err := errors.Join(faults...); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return self, nil
}

func (c Config) hasKey() bool { return c.Key.ID != "" || c.Key.Private != nil }

func isKeyID(id ident.KeyID) bool {
	_, err := ident.ParseKeyID(string(id))
	return err == nil && strings.HasPrefix(string(id), signing.Algorithm+":")
}

// prepareDir makes the data directory, readable for its owner only: it holds the signing key.
func (c Config) prepareDir() error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	return nil
}

// ownKeys are the configured key, or those of the key file, and the old ones.
func (c Config) ownKeys(self ident.ServerName) (*keys.Own, error) {
	own := keys.OwnConfig{Server: self, Old: c.OldKeys, Validity: c.KeyValidity, Trace: c.Trace}
	if c.hasKey() {
		own.Plan = keys.Plan{Keys: []keys.PlannedKey{{Key: c.Key}}}
		return keys.NewOwn(own)
	}
	own.Path = c.KeyPath
	if own.Path == "" {
		own.Path = filepath.Join(c.DataDir, keyFile)
	}
	var err error
	if own.Plan, err = keys.LoadOrCreate(own.Path); err != nil {
		return nil, err
	}
	return keys.NewOwn(own)
}
