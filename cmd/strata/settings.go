// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"time"

	"github.com/strata-matrix/strata/homeserver/media"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
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
	FederationKeysTimeout seconds            `toml:"federation_keys_timeout"`

	Listeners          []listener `toml:"listeners"`
	TLSCertificatePath string     `toml:"tls_certificate_path"`
	TLSPrivateKeyPath  string     `toml:"tls_private_key_path"`
	ACME               acme       `toml:"acme"`

	// FederationCustomCAList takes the place of the system's certificate authorities, FederationExtraCAList is added to them.
	FederationCustomCAList []string `toml:"federation_custom_ca_list"`
	FederationExtraCAList  []string `toml:"federation_extra_ca_list"`
	// FederationVerifyCertificates off, or a name in the list, means that any certificate will do.
	FederationVerifyCertificates               bool     `toml:"federation_verify_certificates"`
	FederationCertificateVerificationWhitelist []string `toml:"federation_certificate_verification_whitelist"`
	FederationClientMinimumTLSVersion          string   `toml:"federation_client_minimum_tls_version"` // "1.2" or "1.3"

	// Servers to federate with: nil for all, and those that match none of the regular expressions.
	FederationDomainWhitelist  []string `toml:"federation_domain_whitelist"`
	ForbiddenRemoteServerNames []string `toml:"forbidden_remote_server_names"`
	FederationLoopback         bool     `toml:"federation_loopback"` // with ourselves too

	// Addresses that are connected to. IPRangeBlacklist nil is the private and reserved ones, none of them with AllowPrivateAddresses.
	AllowPrivateAddresses bool     `toml:"allow_private_addresses"`
	IPRangeBlacklist      []string `toml:"ip_range_blacklist"`
	IPRangeWhitelist      []string `toml:"ip_range_whitelist"`
	DNSServers            []string `toml:"dns_servers"` // none for the system's

	Federation        federation   `toml:"federation"`
	RCFederation      rcFederation `toml:"rc_federation"`
	FederationTimeout seconds      `toml:"federation_timeout"` // for silence in the middle of a reply
	WellKnownTimeout  seconds      `toml:"well_known_timeout"`

	// What clients are offered, where a listener has them: see settings_clients.go.
	PublicBaseURL                string          `toml:"public_baseurl"` // where they reach us, "" for not told
	ServeServerWellKnown         bool            `toml:"serve_server_wellknown"`
	EnableRegistration           bool            `toml:"enable_registration"`
	RegistrationSharedSecret     string          `toml:"registration_shared_secret"` // "" for nobody
	RegistrationSharedSecretPath string          `toml:"registration_shared_secret_path"`
	ClientRateLimits             bool            `toml:"client_rate_limits"` // off: whatever the limits below are
	RCLogin                      clientRate      `toml:"rc_login"`
	RCRegistration               clientRate      `toml:"rc_registration"`
	PasswordHashing              passwordHashing `toml:"password_hashing"`
	DefaultRoomVersion           string          `toml:"default_room_version"`
	Presence                     presence        `toml:"presence"`

	// Content, of a server with clients: see settings_media.go.
	MaxUploadSize            size           `toml:"max_upload_size"`
	MaxRemoteMediaSize       size           `toml:"max_remote_media_size"`
	MediaCacheSize           size           `toml:"media_cache_size"`
	MaxUserMediaSize         size           `toml:"max_user_media_size"` // of all that one user uploads, 0 for no bound
	MediaRetention           mediaRetention `toml:"media_retention"`
	ThumbnailMemory          size           `toml:"thumbnail_memory"`           // for all that are made at one time, and so for any
	EnableAuthenticatedMedia bool           `toml:"enable_authenticated_media"` // off: new content is had without a token too

	AdminTokenPath string `toml:"admin_token_path"` // "" for no admin API

	EnableMetrics            bool     `toml:"enable_metrics"`
	MetricsCompat            string   `toml:"metrics_compat"` // "synapse" for Synapse's names besides ours
	FederationMetricsDomains []string `toml:"federation_metrics_domains"`

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
	// Resources are what is answered there; none for what other servers ask. See settings_local.go.
	Resources []resource `toml:"resources"`
	// XForwarded is for clients behind a proxy, which says where they are.
	XForwarded bool `toml:"x_forwarded"`
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
	// What waits for servers that do not take it: Synapse has no bound.
	DestinationBacklogItems int64    `toml:"destination_backlog_items"`
	DestinationBacklogTime  duration `toml:"destination_backlog_time"`
}

const (
	// metricsPort is where Synapse's image has its metrics.
	metricsPort = 19090
	// federationPort is where servers are sought whose name has no port.
	federationPort = 8448
	httpPort       = 80
	httpsPort      = 443
)

// defaultSettings are in force where nothing else is said. The retry intervals are those of the transaction layer.
func defaultSettings() settings {
	backlog := transaction.DefaultBacklog()
	return settings{
		DataDir:  defaultDataDir,
		LogLevel: "info",

		KeyRefreshInterval:    duration(keys.DefaultValidity),
		FederationKeysTimeout: seconds(keys.DefaultTimeout),
		ACME:                  acme{HTTPPort: httpPort},

		FederationVerifyCertificates: true, FederationClientMinimumTLSVersion: "1.2",
		FederationTimeout: seconds(25 * time.Second), WellKnownTimeout: seconds(10 * time.Second),

		Federation: federation{
			ClientTimeout:               duration(time.Minute),
			DestinationMinRetryInterval: duration(15 * time.Second),
			DestinationRetryMultiplier:  2,
			DestinationMaxRetryInterval: duration(24 * time.Hour),
			DestinationBacklogItems:     int64(backlog.Items),
			DestinationBacklogTime:      duration(backlog.Age),
		},
		ClientRateLimits: true, RCLogin: defaultClientRate(), RCRegistration: defaultClientRate(), PasswordHashing: defaultPasswordHashing(),
		DefaultRoomVersion: messaging.DefaultRoomVersion, Presence: presence{Enabled: true},
		MaxUploadSize: media.DefaultMaxUpload, MaxRemoteMediaSize: media.DefaultMaxRemote, MediaCacheSize: media.DefaultCacheSize,
		ThumbnailMemory: media.DefaultPictureMemory, EnableAuthenticatedMedia: true,

		RCFederation: rcFederation{Concurrent: transport.DefaultOriginRequests, RejectLimit: transport.DefaultOriginWaiting},
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
		&s.AdminTokenPath, &s.RegistrationSharedSecretPath,
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
