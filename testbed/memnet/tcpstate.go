package memnet

import (
	"net"
	"syscall"
	"time"
)

const (
	// MSS is the most bytes a TCP segment carries.
	MSS = 1460

	sendBuffer    = 64 << 10 // bytes written and not acknowledged before Write blocks
	receiveBuffer = 64 << 10 // bytes received and not read before the window closes

	firstRTO   = time.Second            // RFC 6298 §2.1
	minRTO     = 200 * time.Millisecond // as Linux
	maxRTO     = 120 * time.Second
	synTimeout = 127 * time.Second // 6 repeats
	ownTimeout = 924 * time.Second // 15 repeats (tcp_retries2)
	finTimeout = 60 * time.Second  // FIN-WAIT-2 of a closed socket
	timeWait   = 60 * time.Second
)

// A segment is one entry of the send queue. SYN and FIN count as one each.
type segment struct {
	data     []byte
	syn, fin bool
}

// The sender keeps what is not acknowledged; it repeats the oldest segment
// with doubling waits and goes back to it when an answer comes.
type sender struct {
	queued      []*segment
	first       uint64 // number of queued[0]
	next        uint64 // number of the one to send next
	top         uint64 // number after the highest one sent
	held        int    // bytes in queued
	flying      int    // bytes sent since first
	window      int    // bytes the peer takes
	rto         time.Duration
	retry       *event
	progress    time.Time     // since when the oldest one waits
	base        time.Duration // rto when all is well
	sentAt      time.Time     // of the SYN: the round trip
	userTimeout time.Duration
}

// The receiver takes segments in order; what comes early is dropped, as it
// will be repeated.
type receiver struct {
	got      [][]byte
	gotBytes int
	expect   uint64
	ended    bool // FIN came
	shut     bool // we told the peer that the window is closed
}

// take moves received bytes to b and opens the window again.
func (c *Conn) take(b []byte) int {
	n := 0
	for n < len(b) && len(c.got) > 0 {
		k := copy(b[n:], c.got[0])
		n += k
		if c.got[0] = c.got[0][k:]; len(c.got[0]) == 0 {
			c.got[0] = nil
			c.got = c.got[1:]
		}
	}
	if len(c.got) == 0 {
		c.got = nil
	}
	c.gotBytes -= n
	if c.shut && c.gotBytes <= receiveBuffer/2 && c.err == nil {
		c.acknowledge()
	}
	return n
}

// queueSegment appends s to the send queue and sends what may go.
func (c *Conn) queueSegment(s *segment) {
	if len(c.queued) == 0 {
		c.progress = time.Now()
	}
	c.queued = append(c.queued, s)
	c.held += len(s.data)
	c.push()
}

// finish queues a FIN once.
func (c *Conn) finish() {
	if c.finished || c.err != nil {
		return
	}
	if !c.established && c.peer == 0 {
		c.drop(net.ErrClosed)
		return
	}
	c.finished, c.active = true, !c.ended
	c.queueSegment(&segment{fin: true})
}

// push sends all that the peer's window allows.
func (c *Conn) push() {
	for c.next < c.first+uint64(len(c.queued)) {
		s := c.queued[c.next-c.first]
		if len(s.data) > 0 && c.flying >= c.window {
			break
		}
		c.sendNext()
	}
	c.arm()
}

// sendNext sends the segment numbered next.
func (c *Conn) sendNext() {
	s := c.queued[c.next-c.first]
	if s.syn && c.sentAt.IsZero() {
		c.sentAt = time.Now()
	}
	c.transmit(&header{syn: s.syn, fin: s.fin, ack: c.peer != 0, seq: c.next}, s.data)
	c.flying += len(s.data)
	c.next++
	c.top = max(c.top, c.next)
}

// transmit sends one segment. A source address that is gone is silence.
func (c *Conn) transmit(h *header, data []byte) {
	h.acked, h.window = c.expect, max(receiveBuffer-c.gotBytes, 0)
	h.from, h.to = c.id, c.peer
	c.shut = h.window == 0
	_ = c.host.send(packet{src: c.local, dst: c.remote, data: data, tcp: h})
}

// acknowledge sends a bare acknowledgement.
func (c *Conn) acknowledge() {
	c.transmit(&header{ack: true, seq: c.next}, nil)
}

// patience returns how long the oldest segment may wait.
func (c *Conn) patience() time.Duration {
	switch {
	case !c.established && c.listener == nil:
		return synTimeout
	case c.userTimeout > 0:
		return c.userTimeout
	}
	return ownTimeout
}

// arm starts the retransmission timer unless it runs already.
func (c *Conn) arm() {
	if c.retry == nil {
		c.rearm()
	}
}

// rearm starts the retransmission timer anew, or stops it when nothing waits.
func (c *Conn) rearm() {
	n := c.host.net
	n.cancel(c.retry)
	c.retry = nil
	if len(c.queued) == 0 || c.err != nil {
		return
	}
	at := time.Now().Add(c.rto)
	if end := c.progress.Add(c.patience()); end.Before(at) {
		at = end
	}
	c.retry = n.at(at, c.repeat)
}

// repeat sends the oldest segment again, or gives up.
func (c *Conn) repeat() {
	c.retry = nil
	if !time.Now().Before(c.progress.Add(c.patience())) {
		c.drop(syscall.ETIMEDOUT)
		return
	}
	c.rto = min(c.rto*2, maxRTO)
	c.next, c.flying = c.first, 0
	c.sendNext()
	c.arm()
}

// acked takes an acknowledgement of all segments before number.
func (c *Conn) acked(number uint64, window int) {
	c.window = window
	if number <= c.first || number > c.top {
		c.push()
		return
	}
	for c.first < number {
		s := c.queued[0]
		c.queued[0] = nil
		c.queued = c.queued[1:]
		c.held -= len(s.data)
		if c.first < c.next {
			c.flying -= len(s.data)
		}
		c.first++
	}
	if c.next < c.first {
		c.next, c.flying = c.first, 0
	}
	now := time.Now()
	c.progress = now
	if !c.sentAt.IsZero() {
		c.base = max(minRTO, 3*now.Sub(c.sentAt))
		c.sentAt = time.Time{}
	}
	c.rto = c.base
	c.rearm()
	c.push()
	c.wake.Broadcast()
}

// receiveTCP hands a segment to its connection or listener; what nobody wants
// is refused.
func (h *Host) receiveTCP(p packet) {
	t := tuple{p.dst, p.src}
	if c := h.conns[t]; c != nil {
		c.receive(p)
		return
	}
	switch {
	case p.tcp.rst:
	case p.tcp.syn && !p.tcp.ack && h.listener(p.dst) != nil:
		c := h.newConn(t)
		c.listener = h.listener(p.dst)
		c.peer, c.expect = p.tcp.from, 1
		c.queueSegment(&segment{syn: true})
	case p.tcp.fin && time.Now().Before(h.waits[t]):
		_ = h.send(packet{src: p.dst, dst: p.src, tcp: &header{
			ack: true, acked: p.tcp.seq + 1, from: p.tcp.to, to: p.tcp.from,
		}})
	default:
		_ = h.send(p.refusal())
	}
}

// receive takes one segment of the connection.
func (c *Conn) receive(p packet) {
	h := p.tcp
	switch {
	case h.rst:
		if h.to == c.id {
			c.reset()
		}
		return
	case c.peer == 0:
		c.open(p)
		return
	case h.syn:
		c.resync(h)
		return
	case h.from != c.peer || h.to != c.id:
		return // of an earlier connection between the same ports
	}
	if !c.established {
		c.established = true
		c.listener.ready = append(c.listener.ready, c)
		c.listener.wake.Broadcast()
	}
	c.acked(h.acked, h.window)
	if c.err == nil && (len(p.data) > 0 || h.fin) {
		c.accept(p)
	}
	c.linger()
}

// reset takes a RST.
func (c *Conn) reset() {
	if c.peer == 0 {
		c.drop(syscall.ECONNREFUSED)
		return
	}
	c.drop(syscall.ECONNRESET)
}

// open takes the answer to our SYN. An acknowledgement of something else comes
// from a peer that still has an old connection: the reset makes it forget.
func (c *Conn) open(p packet) {
	switch {
	case p.tcp.to != c.id:
		_ = c.host.send(p.refusal())
	case p.tcp.syn:
		c.peer, c.expect, c.established = p.tcp.from, 1, true
		c.acked(p.tcp.acked, p.tcp.window)
		c.acknowledge()
	}
}

// resync takes a SYN on a connection that is open already: its repeat, or the
// challenge (RFC 5961 §4) to a peer that has forgotten us.
func (c *Conn) resync(h *header) {
	if h.from == c.peer && !c.established {
		c.next, c.flying = c.first, 0
		c.push()
		return
	}
	c.acknowledge()
}

// accept takes data and FIN, in order.
func (c *Conn) accept(p packet) {
	switch {
	case p.tcp.seq != c.expect:
	case p.tcp.fin:
		c.expect++
		c.ended = true
	case c.closed:
		c.transmit(&header{rst: true, ack: true, seq: c.next}, nil)
		c.drop(net.ErrClosed)
		return
	case c.gotBytes < receiveBuffer:
		c.expect++
		c.got = append(c.got, p.data)
		c.gotBytes += len(p.data)
	}
	c.acknowledge()
	c.wake.Broadcast()
}

// linger ends a connection both sides have finished with.
func (c *Conn) linger() {
	if c.err != nil || !c.finished || len(c.queued) > 0 {
		return
	}
	if c.ended {
		if c.active {
			c.host.waits[tuple{c.local, c.remote}] = time.Now().Add(timeWait)
		}
		c.drop(net.ErrClosed)
		return
	}
	if c.closed && c.retry == nil {
		c.retry = c.host.net.at(time.Now().Add(finTimeout), func() { c.drop(net.ErrClosed) })
	}
}
