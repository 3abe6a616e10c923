package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"pinhole/internal/message"
)

// A Stream is one TCP or TLS connection with its framing, its time limits and
// its queue of bytes to write. It is a Socket.
type Stream struct {
	conn          Conn
	proto         Proto
	lim           Limits
	h             Handler
	accepted      bool
	local, remote netip.AddrPort
	kept          atomic.Bool
	over          atomic.Bool // Close or Abort was called, or it broke
	frame         framer
	half          bool // one CRLF of a ping was read

	mu      sync.Mutex
	queue   []outgoing
	spare   []outgoing // the queue's memory, in turns
	queued  int        // octets in queue and in the writer's hands
	writing bool       // there is a writer, or Run will start it
	reason  error
	closeBy time.Time // when Close stops writing
	writer  sync.WaitGroup
}

// NewStream makes a Socket of a connection we dialled (with TLS, of what
// Secure returns). Nothing happens before Run; what is sent earlier is queued.
func NewStream(c Conn, proto Proto, lim Limits, h Handler) *Stream {
	return &Stream{
		conn: c, proto: proto, lim: lim, h: h,
		local: addrPort(c.LocalAddr()), remote: addrPort(c.RemoteAddr()),
		frame: framer{limit: lim.Message}, writing: true,
	}
}

// Proto returns TCP or TLS.
func (s *Stream) Proto() Proto { return s.proto }

// Local returns our end's address.
func (s *Stream) Local() netip.AddrPort { return s.local }

// Remote returns the peer's address.
func (s *Stream) Remote() netip.AddrPort { return s.remote }

// Conn returns the connection, for its user timeout and unacknowledged bytes;
// it must not be read from or written to.
func (s *Stream) Conn() Conn { return s.conn }

// KeepOpen lifts the limit on idleness: somebody is registered here, or has a
// call. A dialled stream usually wants it before Run.
func (s *Stream) KeepOpen() { s.kept.Store(true) }

// Ping queues a CRLFCRLF (RFC 5626 §4.4.1); it never comes within a message.
func (s *Stream) Ping() error { return s.Send(ping, netip.AddrPort{}) }

// Run reads until the peer, Close, Abort, a limit or the end of ctx closes the
// connection, and returns the reason that Handler.Closed got. It is called
// once, and waits for the writer.
func (s *Stream) Run(ctx context.Context) error {
	s.writer.Go(s.write)
	stop := context.AfterFunc(ctx, func() { s.Close(ctx.Err()) })
	s.Close(s.read())
	stop()
	s.writer.Wait()
	err := s.err()
	s.h.Closed(s, err)
	return err
}

// read reads and hands out tokens until the connection ends. After Close it
// reads on without looking: unread octets would make the close a reset, and
// the peer lose our last answer.
func (s *Stream) read() error {
	clock := readClock{s: s, heard: time.Now()}
	for {
		if err := clock.arm(); err != nil {
			return err
		}
		n, err := s.conn.Read(s.frame.space())
		s.frame.add(n)
		if n > 0 && !s.over.Load() && s.tokens() {
			clock.heard = time.Now()
			clock.phase = 0
		}
		if s.over.Load() {
			s.frame.r, s.frame.w = 0, 0
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err = clock.expired(); err != nil {
				return err
			}
		case errors.Is(err, io.EOF) && s.frame.begun:
			return io.ErrUnexpectedEOF
		default:
			return err
		}
	}
}

// tokens hands out all that is whole, and says whether there was a message.
func (s *Stream) tokens() (heard bool) {
	for !s.over.Load() {
		t, raw := s.frame.next()
		switch t {
		case more:
			return heard
		case crlf:
			s.crlf()
		case framed:
			heard = true
			s.message(string(raw))
		case broken:
			s.broken(string(raw))
		}
	}
	return heard
}

// crlf takes a CRLF between messages: on a stream we dialled it is a pong, on
// one we accepted the second one makes a ping, whatever it was split into
// (RFC 5626 §4.4.1).
func (s *Stream) crlf() {
	if !s.accepted {
		s.h.Pong(s)
		return
	}
	s.half = !s.half
	if !s.half {
		_ = s.Send(pong, netip.AddrPort{})
	}
}

// message hands out a framed message.
func (s *Stream) message(raw string) {
	s.half = false
	m, err := message.Parse(raw, message.Stream)
	s.h.Message(s, s.remote, m, err)
	if e, ok := err.(*message.Error); ok && e.Close {
		s.Close(e)
	}
}

// broken hands out what cannot be framed, and closes.
func (s *Stream) broken(raw string) {
	m, err := message.Parse(raw, message.Stream)
	e, ok := err.(*message.Error)
	if !ok {
		e = &message.Error{Reason: "Bad Framing"}
	}
	e.Close = true
	if s.frame.large && e.Status != 0 {
		e.Status, e.Reason = 513, "Message Too Large"
	}
	s.h.Message(s, s.remote, m, e)
	s.Close(e)
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
