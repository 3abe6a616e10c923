package transport

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"
)

// closeTime is how long a stream goes on writing after Close.
const closeTime = 2 * time.Second

var (
	ping = []byte("\r\n\r\n") // RFC 5626 §4.4.1
	pong = []byte("\r\n")
)

// An outgoing message, and since when it waits.
type outgoing struct {
	b     *[]byte // of buffers
	since time.Time
}

// buffers holds the copies that wait to be written.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// keepBytes is the largest buffer that goes back to buffers.
const keepBytes = 16 << 10

func (o outgoing) free() {
	if cap(*o.b) <= keepBytes {
		*o.b = (*o.b)[:0]
		buffers.Put(o.b)
	}
}

// Send writes b as one message where that needs no waiting, and else queues a
// copy of it; to is ignored. ErrSlow says that the
// queue was full and the connection is closing; after the end, Send returns
// the reason for it.
func (s *Stream) Send(b []byte, _ netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() {
		return s.reason
	}
	if s.queued+len(b) > s.lim.QueueBytes {
		s.abort(ErrSlow)
		return ErrSlow
	}
	if !s.writing { // most messages fit, and need no hand-over to the writer
		n, err := s.conn.TryWrite(b)
		if err != nil {
			s.abort(err)
			return err
		}
		if n == len(b) {
			return nil
		}
		b = b[n:]
	}
	o := outgoing{b: buffers.Get().(*[]byte), since: time.Now()}
	*o.b = append(*o.b, b...)
	s.queue = append(s.queue, o)
	s.queued += len(b)
	s.wake()
	return nil
}

// wake starts the writer unless there is one.
func (s *Stream) wake() {
	if !s.writing {
		s.writing = true
		s.writer.Go(s.write)
	}
}

// Close ends the stream for reason: what is queued goes out first, for two
// seconds at most; nothing more is handed to the Handler but Closed. It does
// not wait. Only the first Close or Abort counts.
func (s *Stream) Close(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() {
		return
	}
	s.over.Store(true)
	s.reason = reason
	s.closeBy = time.Now().Add(closeTime)
	_ = s.conn.SetWriteDeadline(s.closeBy) // for the write under way
	s.wake()
}

// Abort ends the stream for reason, at once and with a reset: its local port
// can be dialled from again. It also cuts short what Close still writes.
func (s *Stream) Abort(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abort(reason)
}

func (s *Stream) abort(reason error) {
	if !s.over.Swap(true) {
		s.reason = reason
	}
	for _, o := range s.queue {
		o.free()
	}
	s.queue = nil
	_ = s.conn.Abort()
}

// err returns why the stream is over.
func (s *Stream) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// write writes what is queued, one Write a message so that no message shares
// a segment with the start of another (an ALG reads segments, not streams),
// and ends when there is nothing left. After Close it closes the connection.
func (s *Stream) write() {
	var batch []outgoing
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.writing = false
			over, closeBy := s.over.Load(), s.closeBy
			if !over {
				_ = s.conn.SetWriteDeadline(time.Time{}) // that of the last message is not the next one's
			}
			s.mu.Unlock()
			if over {
				s.hangUp(closeBy)
			}
			return
		}
		batch, s.queue, s.spare = s.queue, s.spare[:0], nil
		s.mu.Unlock()
		for i, o := range batch {
			if err := s.writeOne(o); err != nil {
				free(batch[i:])
				s.Abort(err)
				return
			}
			o.free()
		}
		clear(batch)
		s.mu.Lock()
		s.spare = batch
		s.mu.Unlock()
	}
}

// hangUp closes the connection. TLS says goodbye first, and is cut short where
// nobody takes it.
func (s *Stream) hangUp(closeBy time.Time) {
	cut := time.AfterFunc(time.Until(closeBy), func() { _ = s.conn.Abort() })
	defer cut.Stop()
	_ = s.conn.Close()
}

func free(batch []outgoing) {
	for _, o := range batch {
		o.free()
	}
}

// writeOne writes one message before it is too old.
func (s *Stream) writeOne(o outgoing) error {
	s.mu.Lock()
	deadline := o.since.Add(s.lim.QueueAge)
	if s.over.Load() && s.closeBy.Before(deadline) {
		deadline = s.closeBy
	}
	err := s.conn.SetWriteDeadline(deadline)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = s.conn.Write(*o.b)
	s.mu.Lock()
	s.queued -= len(*o.b)
	s.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrSlow
	}
	return err
}
