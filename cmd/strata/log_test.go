// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/trace"
)

// What another server says without being asked is an event: net/http would write it to the standard error of the process.
func TestStrayLog(t *testing.T) {
	stray := make(chan trace.TransportConnection, 1)
	routeStrayLog(trace.SinkFunc(func(e trace.Event) { stray <- e.(trace.TransportConnection) }))
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}forged line of a log")
		_, _ = io.Copy(io.Discard, conn)
	}()
	client := &http.Transport{}
	request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+listener.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if e := <-stray; !strings.Contains(e.Message, "forged line") {
		t.Errorf("%q", e.Message)
	}
}
