package proxy

import (
	"net"
	"sync"
)

// gate holds bytes up while it is closed.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // nil while open; closed when it opens
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// wait returns when the gate is open, or when done is closed.
func (g *gate) wait(done <-chan struct{}) {
	for {
		g.mu.Lock()
		shut := g.shut
		g.mu.Unlock()
		if shut == nil {
			return
		}
		select {
		case <-shut:
		case <-done:
			return
		}
	}
}

// conn is a connection whose bytes pass a gate in both directions. While it is closed the kernel still takes and acknowledges what comes: the peer
// sees a connection that is alive and says nothing.
type conn struct {
	*net.TCPConn
	proxy *Proxy
	done  chan struct{}
	once  sync.Once
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.proxy.gate.wait(c.done)
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.proxy.gate.wait(c.done)
	return c.TCPConn.Write(b)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.proxy.mu.Lock()
		delete(c.proxy.conns, c)
		c.proxy.mu.Unlock()
	})
	return c.TCPConn.Close()
}

// reset ends the connection with a TCP reset.
func (c *conn) reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// listener makes gated connections, and none while the proxy refuses.
type listener struct {
	*net.TCPListener
	proxy *Proxy
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		c := &conn{TCPConn: raw, proxy: l.proxy, done: make(chan struct{})}
		l.proxy.mu.Lock()
		refused := l.proxy.refuses
		if !refused {
			l.proxy.conns[c] = true
		}
		l.proxy.mu.Unlock()
		if !refused {
			return c, nil
		}
		c.reset()
	}
}
