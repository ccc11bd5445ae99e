// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"fmt"
	"net"
)

// freePorts returns n loopback TCP ports that nobody listens on. All are held at once while choosing, so that they
// differ. Another process could take one before the peer does; the kernel hands out ports in an order that makes this
// rare, and the peer then fails to start, saying so in its log.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
