package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"

	"pinhole/internal/transport"
)

// An endpoint owns the sockets of one peer, frames and records what comes in,
// and runs sipgo's transactions over it. Messages of one socket are handled in
// the order in which they came.
type endpoint struct {
	Journal
	net      transport.Net
	handler  func(*Request)  // in the reader's goroutine: must not block
	onFlow   func(*Flow)     // a stream was closed; may be nil
	pong     func() PongMode // how to answer CRLFCRLF; nil: as RFC 5626 says
	plainVia func() bool     // leave received and rport out of answers; may be nil
	keep     func() int      // ;keep=N for those who offer it (RFC 6223); may be nil
	tap      func(*Message)  // may be nil
	raw      bool            // only record what comes in
	parser   *sip.Parser
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	emu     sync.Mutex
	done    bool
	deaf    bool // new flows are black holes
	packets []transport.PacketConn
	lns     []transport.Listener
	flows   map[*Flow]bool
	peers   map[udpPeer]*Flow
	clients map[string]*clientTx
	servers map[string]*Request
}

// udpPeer names a UDP flow.
type udpPeer struct {
	pc     transport.PacketConn
	remote netip.AddrPort
}

func newEndpoint(n transport.Net, handler func(*Request)) *endpoint {
	configureSipgo()
	ep := &endpoint{
		net: n, handler: handler, parser: newParser(),
		flows: map[*Flow]bool{}, peers: map[udpPeer]*Flow{},
		clients: map[string]*clientTx{}, servers: map[string]*Request{},
	}
	ep.ctx, ep.cancel = background()
	return ep
}

// spawn runs f in a goroutine that Close waits for; it does nothing once the
// endpoint is closed.
func (ep *endpoint) spawn(f func()) {
	ep.emu.Lock()
	defer ep.emu.Unlock()
	if ep.done {
		return
	}
	ep.wg.Go(f)
}

// listenUDP opens a UDP socket and reads it until Close.
func (ep *endpoint) listenUDP(local netip.AddrPort) (transport.PacketConn, error) {
	pc, err := ep.net.ListenPacket(ep.ctx, local)
	if err != nil {
		return nil, err
	}
	ep.emu.Lock()
	ep.packets = append(ep.packets, pc)
	ep.emu.Unlock()
	ep.spawn(func() { ep.readUDP(pc) })
	return pc, nil
}

// udpFlow returns the flow from a socket to a remote, the same one each time.
func (ep *endpoint) udpFlow(pc transport.PacketConn, remote netip.AddrPort) *Flow {
	ep.emu.Lock()
	defer ep.emu.Unlock()
	key := udpPeer{pc, remote}
	if f := ep.peers[key]; f != nil {
		return f
	}
	f := &Flow{
		ep: ep, proto: UDP, local: addrPort(pc.LocalAddr()), remote: remote, accepted: true,
		pc: pc, closed: make(chan struct{}),
	}
	if f.local.Addr().IsUnspecified() {
		if src, err := ep.net.Source(remote.Addr()); err == nil {
			f.local = netip.AddrPortFrom(src, f.local.Port())
		}
	}
	f.hole.Store(ep.deaf)
	ep.peers[key], ep.flows[f] = f, true
	return f
}

func (ep *endpoint) readUDP(pc transport.PacketConn) {
	buf := make([]byte, 65536)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ep.ctx.Err() != nil {
				return
			}
			continue
		}
		f := ep.udpFlow(pc, unmap(from))
		if f.hole.Load() || strings.TrimSpace(string(buf[:n])) == "" {
			continue
		}
		ep.arrived(f, string(buf[:n]))
	}
}

// listen opens a stream listener and accepts until Close.
func (ep *endpoint) listen(proto string, local netip.AddrPort, conf *tls.Config) (transport.Listener, error) {
	ln, err := ep.net.Listen(ep.ctx, local)
	if err != nil {
		return nil, err
	}
	ep.emu.Lock()
	ep.lns = append(ep.lns, ln)
	ep.emu.Unlock()
	ep.spawn(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			ep.spawn(func() { ep.accepted(proto, c, conf) })
		}
	})
	return ln, nil
}

func (ep *endpoint) accepted(proto string, c transport.Conn, conf *tls.Config) {
	var conn net.Conn = c
	if proto == TLS {
		t := tls.Server(c, conf)
		if err := t.HandshakeContext(ep.ctx); err != nil {
			_ = c.Close()
			return
		}
		conn = t
	}
	if f := ep.stream(proto, c, conn, true); f != nil {
		ep.readStream(f)
	}
}

// dial opens a stream and reads it until it ends.
func (ep *endpoint) dial(ctx context.Context, proto string, local, remote netip.AddrPort, conf *tls.Config) (*Flow, error) {
	c, err := ep.net.Dial(ctx, local, remote)
	if err != nil {
		return nil, err
	}
	var conn net.Conn = c
	if proto == TLS {
		t := tls.Client(c, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		conn = t
	}
	f := ep.stream(proto, c, conn, false)
	if f == nil {
		return nil, errClosed
	}
	ep.spawn(func() { ep.readStream(f) })
	return f, nil
}

func (ep *endpoint) stream(proto string, raw transport.Conn, conn net.Conn, accepted bool) *Flow {
	f := &Flow{
		ep: ep, proto: proto, accepted: accepted, raw: raw, conn: conn, closed: make(chan struct{}),
		local: addrPort(raw.LocalAddr()), remote: addrPort(raw.RemoteAddr()),
	}
	ep.emu.Lock()
	defer ep.emu.Unlock()
	if ep.done {
		_ = conn.Close()
		return nil
	}
	f.hole.Store(ep.deaf)
	ep.flows[f] = true
	return f
}

func (ep *endpoint) readStream(f *Flow) {
	defer f.Close()
	var pending []byte
	buf := make([]byte, 32768)
	for {
		n, err := f.conn.Read(buf)
		if f.resume.wait(ep.ctx, func() bool { return !f.halt.Load() || !f.Alive() }) != nil {
			return
		}
		if !f.hole.Load() {
			pending = append(pending, buf[:n]...)
		}
		if err != nil {
			return
		}
		for len(pending) > 0 {
			what, size := next(pending, f.accepted)
			if what == more {
				break
			}
			if what == broken {
				return
			}
			head := string(pending[:size])
			pending = pending[size:]
			ep.chunk(f, what, head)
		}
	}
}

// chunk handles one piece of a stream.
func (ep *endpoint) chunk(f *Flow, what chunk, head string) {
	switch what {
	case message:
		ep.arrived(f, head)
	case pong:
		f.pongs.Add(1)
		ep.ring()
	case ping:
		mode := PongOne
		if ep.pong != nil {
			mode = ep.pong()
		}
		first := f.pings.Add(1) == 1
		ep.ring()
		if mode == PongOne || mode == PongDouble || (mode == PongFirst && first) {
			_ = f.Send([]byte(map[bool]string{true: "\r\n\r\n", false: "\r\n"}[mode == PongDouble]))
		}
	}
}

// record notes a message in the journal and at the tap.
func (ep *endpoint) record(f *Flow, m *Message, sent bool) {
	m.Flow, m.Proto, m.Sent = f, f.proto, sent
	m.From, m.To = f.remote, f.local
	if sent {
		m.From, m.To = f.local, f.remote
	}
	ep.add(m)
	if ep.tap != nil {
		ep.tap(m)
	}
}

// sendRaw records and sends one message.
func (ep *endpoint) sendRaw(f *Flow, raw string) error {
	m := newMessage(raw)
	if m == nil {
		return fmt.Errorf("peer: not a SIP message: %q", raw)
	}
	ep.record(f, m, true)
	return f.Send([]byte(raw))
}

// forget drops a flow and ends the transactions that ran over it.
func (ep *endpoint) forget(f *Flow) {
	ep.emu.Lock()
	delete(ep.flows, f)
	delete(ep.peers, udpPeer{f.pc, f.remote})
	var lost []*clientTx
	for _, c := range ep.clients {
		if c.flow == f {
			lost = append(lost, c)
		}
	}
	ep.emu.Unlock()
	for _, c := range lost {
		c.tx.Terminate()
	}
	if ep.onFlow != nil {
		ep.onFlow(f)
	}
	ep.ring()
}

// streams returns the open flows that are stream connections.
func (ep *endpoint) streams() []*Flow {
	ep.emu.Lock()
	defer ep.emu.Unlock()
	var out []*Flow
	for f := range ep.flows {
		if f.conn != nil {
			out = append(out, f)
		}
	}
	return out
}

// shutSockets closes listeners and flows, with a reset when abort is set.
func (ep *endpoint) shutSockets(abort bool) {
	ep.emu.Lock()
	packets, lns := ep.packets, ep.lns
	ep.packets, ep.lns = nil, nil
	flows := make([]*Flow, 0, len(ep.flows))
	for f := range ep.flows {
		flows = append(flows, f)
	}
	ep.emu.Unlock()
	for _, ln := range lns {
		_ = ln.Close()
	}
	for _, f := range flows {
		if abort {
			f.Abort()
		} else {
			f.Close()
		}
	}
	for _, pc := range packets {
		_ = pc.Close()
	}
}

// close ends everything and waits for it.
func (ep *endpoint) close() {
	ep.emu.Lock()
	ep.done = true
	ep.emu.Unlock()
	ep.cancel()
	ep.shutSockets(false)
	ep.emu.Lock()
	clients := make([]*clientTx, 0, len(ep.clients))
	for _, c := range ep.clients {
		clients = append(clients, c)
	}
	servers := make([]*Request, 0, len(ep.servers))
	for _, r := range ep.servers {
		servers = append(servers, r)
	}
	ep.emu.Unlock()
	for _, c := range clients {
		c.tx.Terminate()
	}
	for _, r := range servers {
		r.tx.Terminate()
	}
	ep.wg.Wait()
}
