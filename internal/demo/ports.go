// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"

	"github.com/strata-matrix/strata/transport/ident"
)

// The ports to choose from. They lie below those that systems hand out by themselves (Linux: from 32768, others: from 49152), so
// that nobody is given a server's port while that server is dead.
const (
	firstPort = 20000
	lastPort  = 32000
	portTries = 1000
)

// serverNames picks names of the form 127.0.0.1:port. Such a name needs neither DNS nor .well-known to be found.
func serverNames(n int) ([]ident.ServerName, error) {
	var names []ident.ServerName
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close() // the port was only tried
		}
	}()
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue // in use
		}
		held = append(held, l)
		names = append(names, ident.ServerName(l.Addr().String()))
		if len(names) == n {
			return names, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports on 127.0.0.1 between %d and %d", n, firstPort, lastPort)
}
