// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/media"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Config is what a homeserver is made of. The zero value of all but Messaging is the sensible default.
type Config struct {
	// Messaging is the server's name, files and ways to other servers. Core and Annex are the homeserver's own.
	Messaging messaging.Config
	// Accounts says who may have one. By default nobody can register, and nothing is limited.
	Accounts accounts.Policy
	// PasswordCost is what hashing a password takes; the zero value is accounts.DefaultCost.
	PasswordCost accounts.Cost
	// Media bounds what users upload, and what is kept of other servers' content.
	Media media.Policy
	// NoPresence leaves presence out: clients are told nothing of it, and what other servers tell is dropped.
	NoPresence bool
	// DefaultRoomVersion is that of rooms for which clients name none; "" for messaging.DefaultRoomVersion.
	DefaultRoomVersion string
	// PublicBaseURL is where clients reach this server, told to those that know its name only; "" for what this server cannot tell.
	PublicBaseURL string
	// Delegate is where other servers reach this one, as HOST:PORT, told to those that look for its name; "" for what this server
	// cannot tell.
	Delegate ident.ServerName
}

// complete puts defaults in and finds what is wrong.
func (c *Config) complete() error {
	if c.PasswordCost == (accounts.Cost{}) {
		c.PasswordCost = accounts.DefaultCost()
	}
	if c.Messaging.Core != nil || c.Messaging.Annex.Name != "" {
		return errors.New("configuration: Messaging: Core and Annex are the homeserver's own")
	}
	if c.DefaultRoomVersion == "" {
		c.DefaultRoomVersion = messaging.DefaultRoomVersion
	}
	if _, known := event.VersionOf(c.DefaultRoomVersion); !known {
		return fmt.Errorf("configuration: DefaultRoomVersion: %q is no room version", c.DefaultRoomVersion)
	}
	if c.PublicBaseURL != "" {
		if base, err := url.Parse(c.PublicBaseURL); err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
			return fmt.Errorf("configuration: PublicBaseURL: %q is no URL of a server", c.PublicBaseURL)
		}
	}
	if c.Delegate != "" {
		if _, err := ident.ParseServerName(string(c.Delegate)); err != nil {
			return fmt.Errorf("configuration: Delegate: %w", err)
		}
	}
	return nil
}
