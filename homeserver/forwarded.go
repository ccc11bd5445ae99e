// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// behindProxy tells handlers the address of the client in place of the proxy's, which has passed the request on and put it at the end of
// X-Forwarded-For. What stands before that the client may have made up.
func behindProxy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := lastForwarded(r.Header.Values("X-Forwarded-For")); ok {
			inner := *r
			inner.RemoteAddr = net.JoinHostPort(client.String(), "0")
			r = &inner
		}
		next.ServeHTTP(w, r)
	})
}

func lastForwarded(headers []string) (netip.Addr, bool) {
	if len(headers) == 0 {
		return netip.Addr{}, false
	}
	last := headers[len(headers)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	client, err := netip.ParseAddr(strings.Trim(last, "[]"))
	return client.WithZone("").Unmap(), err == nil
}
