// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
)

// As many connections are kept as the limit says, whatever the number of servers and whichever HTTP they speak.
func TestKeptConnectionsAreBounded(t *testing.T) {
	const servers, kept = 30, 5
	for _, protocol := range []string{"h2", "http/1.1"} {
		ca := newIssuer(t)
		var open atomic.Int64
		closed := make(chan struct{}, 1) // has room for one: another is closed
		listener, port := listen(t)
		config := ca.config(t, "*.many.example")
		config.NextProtos = []string{protocol}
		server := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{}`) }),
			ConnState: func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					open.Add(1)
				case http.StateClosed:
					open.Add(-1)
					select {
					case closed <- struct{}{}:
					default:
					}
				}
			},
			TLSConfig: config, ErrorLog: quiet,
		}
		go func() { _ = server.ServeTLS(listener, "", "") }()
		t.Cleanup(func() { server.Close() })
		names := &fakeDNS{hosts: map[string][]string{"target.example": {"127.0.0.1"}}, srv: map[string][]dns.Service{}}
		client := newTestClient(t, ca, names, func(c *setup) { c.Limits.IdleConnections = kept })
		var wg sync.WaitGroup
		for i := range servers {
			name := fmt.Sprintf("s%d.many.example", i)
			names.srv["_matrix-fed._tcp."+name] = []dns.Service{{Target: "target.example", Port: port}}
		}
		for i := range servers {
			wg.Go(func() {
				if _, err := client.Do(t.Context(), ident.ServerName(fmt.Sprintf("s%d.many.example", i)), Call{Method: "GET", Path: "/x"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		late := time.After(5 * time.Second)
		for open.Load() > kept { // the server hears of closing over the network
			select {
			case <-closed:
			case <-late:
				t.Fatalf("%s: %d connections are open after requests to %d servers, want at most %d", protocol, open.Load(), servers, kept)
			}
		}
	}
}

// Only what rests counts: a connection with requests on it is not closed, however long ago it was made.
func TestBusyConnectionsAreKept(t *testing.T) {
	k := newKeeper(1)
	var conns []*keptConn
	var ends []net.Conn
	for range 3 {
		near, far := net.Pipe()
		c := k.watch(near)
		c.enter()
		c.enter()
		conns, ends = append(conns, c), append(ends, far)
	}
	isOpen := func(i int) bool {
		_ = ends[i].SetReadDeadline(time.Now())
		_, err := ends[i].Read(make([]byte, 1))
		return err != io.EOF
	}
	conns[0].leave() // one of two requests
	for i := range conns {
		if !isOpen(i) {
			t.Errorf("connection %d was closed with a request on it", i)
		}
	}
	conns[0].leave()
	conns[1].leave()
	conns[1].leave() // the first now rests longest
	if isOpen(0) || !isOpen(1) || !isOpen(2) {
		t.Errorf("open: %v %v %v, want only the first closed", isOpen(0), isOpen(1), isOpen(2))
	}
	conns[2].Close()
	conns[2].leave()
	conns[2].leave()
	if !isOpen(1) || k.resting.Len() != 1 {
		t.Errorf("%d connections rest, want the second", k.resting.Len())
	}
}
