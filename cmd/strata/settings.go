// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"time"

	"github.com/strata-matrix/strata/transport/keys"
)

// settings is the configuration of a server. Names are Synapse's where the meaning is: see its configuration manual. A relative
// path in a file is relative to the file.
type settings struct {
	ServerName     string            `toml:"server_name"`
	DataDir        string            `toml:"data_dir"`
	ControlSocket  string            `toml:"control_socket"` // "" for ctl.sock in the data directory
	SigningKeyPath string            `toml:"signing_key_path"`
	OldSigningKeys map[string]oldKey `toml:"old_signing_keys"`
	// KeyRefreshInterval is how long our published keys are valid.
	KeyRefreshInterval duration `toml:"key_refresh_interval"`
	// TrustedKeyServers are asked for the keys of servers that cannot be reached.
	TrustedKeyServers     []trustedKeyServer `toml:"trusted_key_servers"`
	FederationKeysTimeout duration           `toml:"federation_keys_timeout"`

	Listeners          []listener `toml:"listeners"`
	TLSCertificatePath string     `toml:"tls_certificate_path"`
	TLSPrivateKeyPath  string     `toml:"tls_private_key_path"`
	ACME               acme       `toml:"acme"`

	// FederationCustomCAList takes the place of the system's certificate authorities, FederationExtraCAList is added to them.
	FederationCustomCAList []string   `toml:"federation_custom_ca_list"`
	FederationExtraCAList  []string   `toml:"federation_extra_ca_list"`
	AllowPrivateAddresses  bool       `toml:"allow_private_addresses"`
	Federation             federation `toml:"federation"`

	LogLevel string `toml:"log_level"` // debug, info, warn or error
}

// oldKey is a key that signed before the current one.
type oldKey struct {
	Key       string `toml:"key" json:"key"`               // public, base64
	ExpiredTS int64  `toml:"expired_ts" json:"expired_ts"` // ms
}

// trustedKeyServer is a notary that is believed.
type trustedKeyServer struct {
	ServerName string            `toml:"server_name"`
	VerifyKeys map[string]string `toml:"verify_keys"` // ids to public keys in base64; none: those that it publishes
}

// listener is where other servers reach this one.
type listener struct {
	Port          int64    `toml:"port"`
	TLS           bool     `toml:"tls"`
	BindAddresses []string `toml:"bind_addresses"` // none for all
}

// acme gets certificates from Let's Encrypt.
type acme struct {
	Domains  []string `toml:"domains"`   // none for no ACME
	CacheDir string   `toml:"cache_dir"` // "" for acme in the data directory
	HTTPPort int64    `toml:"http_port"` // where the authority asks; 0 for none, then a listener must be on 443
}

// federation says how patient this server is with others.
type federation struct {
	ClientTimeout               duration `toml:"client_timeout"`
	DestinationMinRetryInterval duration `toml:"destination_min_retry_interval"`
	DestinationRetryMultiplier  float64  `toml:"destination_retry_multiplier"`
	DestinationMaxRetryInterval duration `toml:"destination_max_retry_interval"`
}

const (
	// federationPort is where servers are sought whose name has no port.
	federationPort = 8448
	httpPort       = 80
	httpsPort      = 443
)

// defaultSettings are in force where nothing else is said. The retry intervals are those of the transaction layer.
func defaultSettings() settings {
	return settings{
		DataDir:  defaultDataDir,
		LogLevel: "info",

		KeyRefreshInterval:    duration(keys.DefaultValidity),
		FederationKeysTimeout: duration(keys.DefaultTimeout),
		ACME:                  acme{HTTPPort: httpPort},
		Federation: federation{
			ClientTimeout:               duration(time.Minute),
			DestinationMinRetryInterval: duration(15 * time.Second),
			DestinationRetryMultiplier:  2,
			DestinationMaxRetryInterval: duration(24 * time.Hour),
		},
	}
}

// keyPath is the file of the signing key.
func (s *settings) keyPath() string {
	if s.SigningKeyPath != "" {
		return s.SigningKeyPath
	}
	return filepath.Join(s.DataDir, keyFileName)
}

// keyFileName is what the key file in a data directory is called.
const keyFileName = "signing.key"

// besideConfig makes a path of a configuration file relative to that file.
func besideConfig(config, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(config), path)
}

// anchor makes every relative path relative to the configuration file.
func (s *settings) anchor(config string) {
	paths := []*string{
		&s.DataDir, &s.ControlSocket, &s.SigningKeyPath, &s.TLSCertificatePath, &s.TLSPrivateKeyPath, &s.ACME.CacheDir,
	}
	for i := range s.FederationCustomCAList {
		paths = append(paths, &s.FederationCustomCAList[i])
	}
	for i := range s.FederationExtraCAList {
		paths = append(paths, &s.FederationExtraCAList[i])
	}
	for _, path := range paths {
		*path = besideConfig(config, *path)
	}
}
