package peer

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pinhole/internal/transport"
)

// writeTime bounds one write on a stream: a peer that does not read must not
// hold the whole test.
const writeTime = 10 * time.Second

// A Flow is one path to a remote: a UDP socket with a remote tuple, or a stream
// connection. Safe for concurrent use.
type Flow struct {
	ep       *endpoint
	proto    string
	local    netip.AddrPort
	remote   netip.AddrPort
	accepted bool

	pc   transport.PacketConn // UDP
	conn net.Conn             // TCP, or TLS over raw
	raw  transport.Conn

	wmu    sync.Mutex
	hole   atomic.Bool
	halt   atomic.Bool
	resume bell
	pings  atomic.Int64
	pongs  atomic.Int64
	closed chan struct{}
	once   sync.Once
}

// Proto returns "udp", "tcp" or "tls".
func (f *Flow) Proto() string { return f.proto }

// Local returns this peer's end.
func (f *Flow) Local() netip.AddrPort { return f.local }

// Remote returns the other end as this peer sees it.
func (f *Flow) Remote() netip.AddrPort { return f.remote }

// Pings returns how many CRLFCRLF keep-alives came in on a stream.
func (f *Flow) Pings() int { return int(f.pings.Load()) }

// Pongs returns how many CRLF answers came in on a dialled stream.
func (f *Flow) Pongs() int { return int(f.pongs.Load()) }

// Closed returns a channel that is closed when the flow is.
func (f *Flow) Closed() <-chan struct{} { return f.closed }

// Alive says whether the flow is open.
func (f *Flow) Alive() bool {
	select {
	case <-f.closed:
		return false
	default:
		return true
	}
}

// BlackHole makes the flow swallow what it sends and what it receives, without
// closing anything, until it is called with false.
func (f *Flow) BlackHole(on bool) { f.hole.Store(on) }

// Pause makes a stream's reader stop reading, as a peer does that hangs, until
// it is called with false.
func (f *Flow) Pause(on bool) {
	f.halt.Store(on)
	f.resume.ring()
}

// Send writes bytes as they are.
func (f *Flow) Send(b []byte) error {
	if f.hole.Load() {
		return nil
	}
	if f.pc != nil {
		_, err := f.pc.WriteToUDPAddrPort(b, f.remote)
		return err
	}
	f.wmu.Lock()
	defer f.wmu.Unlock()
	if err := f.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err := f.conn.Write(b)
	return err
}

// Close ends a stream in the usual way; a UDP flow is only forgotten.
func (f *Flow) Close() { f.end(func() { _ = f.conn.Close() }) }

// Abort ends a stream with a reset.
func (f *Flow) Abort() { f.end(func() { _ = f.raw.Abort(); _ = f.conn.Close() }) }

func (f *Flow) end(shut func()) {
	f.once.Do(func() {
		close(f.closed)
		f.resume.ring()
		if f.conn != nil {
			shut()
		}
		f.ep.forget(f)
	})
}

// chunk is what stands at the head of a stream's buffer.
type chunk uint8

const (
	more    chunk = iota // not whole yet
	ping                 // CRLFCRLF on an accepted stream
	pong                 // CRLF on a dialled one
	blank                // CRLF to skip
	message              // a whole message
	broken               // no message can be framed any more
)

// next tells what stands at the head of b and how many bytes it takes.
func next(b []byte, accepted bool) (chunk, int) {
	if bytes.HasPrefix(b, []byte("\r\n")) || bytes.Equal(b, []byte("\r")) {
		switch {
		case len(b) < 2:
			return more, 0
		case !accepted:
			return pong, 2
		case bytes.HasPrefix(b, []byte("\r\n\r\n")):
			return ping, 4
		case len(b) == 2 || (len(b) == 3 && b[2] == '\r'):
			return more, 0
		}
		return blank, 2
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return more, 0
	}
	length, ok := contentLength(string(b[:end]))
	switch {
	case !ok:
		return broken, 0
	case len(b) < end+4+length:
		return more, 0
	}
	return message, end + 4 + length
}

// contentLength finds the length of the body in the head of a message.
func contentLength(head string) (int, bool) {
	t, ok := split(head + "\r\n\r\n")
	if !ok {
		return 0, false
	}
	v := t.first("content-length")
	if v == "" {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(v))
	return n, err == nil && n >= 0
}
