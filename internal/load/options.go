// SPDX-License-Identifier: Apache-2.0

package load

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// Options say what load to make. Target, Rooms, Origins, Events, PerTransaction, Host, Address and TLS are needed.
type Options struct {
	Target ident.ServerName
	Rooms  []ident.RoomID // of the target, which anyone may join

	Origins        int
	Events         int           // PDUs, over all origins and rooms
	PerTransaction int           // PDUs in a transaction
	Rate           float64       // PDUs a second over all origins; 0 for as fast as the target answers
	Duration       time.Duration // nothing is begun after it; 0 for until all is sent
	Members, State int           // percent of the events that set memberships, and other state; the rest are messages
	Forks          int           // percent of the events that have a sibling, both followed by one event
	Seed           uint64

	// Host is what the target reaches the origins by: their names are Host:PORT. They listen at Address, an IP address, on the ports
	// from Port on, or on any with 0.
	Host, Address string
	Port          int
	TLS           *tls.Config // of the origins, with a certificate for Host

	RootCAs      *x509.CertPool // the authorities that the target is checked against; nil for the system's
	AllowPrivate bool           // the target may be at a private address
}

// Validate names every fault.
func (o Options) Validate() error {
	var faults []error
	bounded := func(what string, n, least, most int) {
		if n < least || n > most {
			faults = append(faults, fmt.Errorf("%s: %d, must be %d to %d", what, n, least, most))
		}
	}
	if _, err := ident.ParseServerName(string(o.Target)); err != nil {
		faults = append(faults, fmt.Errorf("target: %w", err))
	}
	for _, room := range o.Rooms {
		if _, err := ident.ParseRoomID(string(room)); err != nil {
			faults = append(faults, fmt.Errorf("room %q: %w", room, err))
		}
	}
	bounded("rooms", len(o.Rooms), 1, maxRooms)
	bounded("origins", o.Origins, 1, min(maxOrigins, max(1, len(o.Rooms)))) // each has a room of its own
	bounded("events", o.Events, 1, maxEvents)
	bounded("events in a transaction", o.PerTransaction, 1, maxPDUs)
	bounded("percent of members", o.Members, 0, 100)
	bounded("percent of other state", o.State, 0, 100)
	bounded("percent of members and other state together", o.Members+o.State, 0, 100)
	bounded("percent of forks", o.Forks, 0, 100)
	bounded("port", o.Port, 0, 1<<16-1)
	if o.Rate < 0 || o.Duration < 0 {
		faults = append(faults, errors.New("rate and duration must not be negative"))
	}
	if _, err := ident.ParseServerName(o.Host); err != nil {
		faults = append(faults, fmt.Errorf("host: %w", err))
	}
	return errors.Join(faults...)
}
