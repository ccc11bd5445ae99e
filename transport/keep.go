// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"container/list"
	"crypto/tls"
	"net"
	"sync"
)

// keeper bounds the connections that rest. net/http counts those of HTTP/2 among its idle ones but leaves them open when there are
// too many, so that each server spoken to within IdleTime would cost one. The goroutines of all requests use it; the mutex guards
// the list and is held for one change of it.
type keeper struct {
	max int

	mu      sync.Mutex
	resting *list.List // of *keptConn, the longest resting in front
}

// keptConn is a connection with the number of requests that are on it. Its fields are guarded by the keeper's mutex.
type keptConn struct {
	net.Conn
	keeper *keeper
	busy   int
	place  *list.Element // in resting; nil while it is new, busy or closed
	closed bool
}

func newKeeper(max int) *keeper { return &keeper{max: max, resting: list.New()} }

// watch takes care of a new connection. It does not count as resting before a request was on it: there is one that waits for it.
func (k *keeper) watch(conn net.Conn) *keptConn { return &keptConn{Conn: conn, keeper: k} }

// change makes a change to the list and closes what there is too much of. A request that net/http puts on such a connection at the
// very moment fails; it has rested longest of all.
func (k *keeper) change(do func()) {
	k.mu.Lock()
	do()
	var surplus []*keptConn
	for k.resting.Len() > k.max {
		c := k.resting.Remove(k.resting.Front()).(*keptConn)
		c.place = nil
		surplus = append(surplus, c)
	}
	k.mu.Unlock()
	for _, c := range surplus {
		c.Close()
	}
}

// enter puts a request on the connection.
func (c *keptConn) enter() {
	c.keeper.change(func() {
		c.busy++
		c.rest(false)
	})
}

// leave takes it off again.
func (c *keptConn) leave() {
	c.keeper.change(func() {
		c.busy--
		c.rest(c.busy == 0 && !c.closed)
	})
}

// rest is called with the mutex held.
func (c *keptConn) rest(does bool) {
	switch {
	case does && c.place == nil:
		c.place = c.keeper.resting.PushBack(c)
	case !does && c.place != nil:
		c.keeper.resting.Remove(c.place)
		c.place = nil
	}
}

// Close implements net.Conn.
func (c *keptConn) Close() error {
	c.keeper.change(func() {
		c.closed = true
		c.rest(false)
	})
	return c.Conn.Close()
}

// keptOf is the watched connection under one that net/http tells of, nil if there is none.
func keptOf(conn net.Conn) *keptConn {
	secured, _ := conn.(*tls.Conn)
	if secured == nil {
		return nil
	}
	kept, _ := secured.NetConn().(*keptConn)
	return kept
}
