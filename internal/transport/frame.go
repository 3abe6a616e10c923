package transport

import (
	"bytes"

	"pinhole/internal/message"
)

// A token is what the framer found next on a stream.
type token uint8

const (
	more   token = iota // nothing whole: read on
	crlf                // a CRLF between two messages
	framed              // a message
	broken              // the start of a message whose end cannot be told
)

const (
	firstBuffer = 2 << 10 // octets, per idle connection
	keepBuffer  = 8 << 10 // a larger one is let go when it is empty
)

// A framer cuts a stream into messages by Content-Length (RFC 3261 §18.3). It
// looks at each octet once, however the stream is split, and ends a message
// exactly where message.Parse does. It does no I/O. The zero value with a
// limit is ready to use.
type framer struct {
	limit int // octets of a message

	buf  []byte
	r, w int // what was read and not yet handed out

	// About the message that begins at r; offsets count from there.
	begun   bool
	scanned int  // no line end before it
	line    int  // start of the line being read
	field   int  // start of the header field it belongs to
	head    int  // past the empty line; 0: not found yet
	length  span // value of Content-Length
	lengths int  // how many there were
	body    int  // octets
	large   bool // broken because it is over the limit
}

type span struct{ start, end int }

// space returns where to read to; never empty.
func (f *framer) space() []byte {
	if f.r == f.w {
		f.r, f.w = 0, 0
		if len(f.buf) > keepBuffer {
			f.buf = nil
		}
	}
	if f.buf == nil {
		f.buf = make([]byte, firstBuffer)
	}
	if f.w < len(f.buf) {
		return f.buf[f.w:]
	}
	b := f.buf
	if f.r < len(b)/2 {
		size := 2 * len(b)
		if f.head > 0 {
			size = max(size, f.head+f.body)
		}
		b = make([]byte, size)
	}
	f.w = copy(b, f.buf[f.r:f.w])
	f.r, f.buf = 0, b
	return b[f.w:]
}

// add says that n octets were read to space.
func (f *framer) add(n int) { f.w += n }

// next returns the next token and, for framed and broken, the octets of the
// message, which are valid until space is called. Nothing comes after broken.
func (f *framer) next() (token, []byte) {
	if !f.begun {
		if t := f.between(); t != framed {
			return t, nil
		}
		*f = framer{limit: f.limit, buf: f.buf, r: f.r, w: f.w, begun: true}
	}
	if f.head == 0 {
		switch f.header() {
		case more:
			if f.w-f.r > f.limit {
				f.large = true
				return broken, f.buf[f.r:f.w]
			}
			return more, nil
		case broken:
			return broken, f.buf[f.r : f.r+f.head]
		}
	}
	if f.w-f.r < f.head+f.body {
		return more, nil
	}
	raw := f.buf[f.r : f.r+f.head+f.body]
	f.r += len(raw)
	f.begun, f.head = false, 0
	return framed, raw
}

// between reads a CRLF between messages; framed says that a message begins.
func (f *framer) between() token {
	switch b := f.buf[f.r:f.w]; {
	case len(b) == 0:
		return more
	case b[0] != '\r':
		return framed
	case len(b) == 1:
		return more
	case b[1] != '\n':
		return framed
	}
	f.r += 2
	return crlf
}

// header reads lines up to the empty one; framed says that it was found and
// the length of the body is known.
func (f *framer) header() token {
	msg := f.buf[f.r:f.w]
	for {
		nl := bytes.IndexByte(msg[f.scanned:], '\n')
		if nl < 0 {
			f.scanned = len(msg)
			return more
		}
		start := f.line
		f.line = f.scanned + nl + 1
		f.scanned = f.line
		line := msg[start:f.line]
		switch {
		case start == 0:
			f.field = f.line // past the start line
		case len(line) == 1 || len(line) == 2 && line[0] == '\r':
			f.note(msg, start)
			f.head = f.line
			return f.bounded(msg)
		case line[0] != ' ' && line[0] != '\t':
			f.note(msg, start)
			f.field = start
		}
	}
}

// note looks at the header field msg[f.field:end], with its continuations.
func (f *framer) note(msg []byte, end int) {
	field := msg[f.field:end]
	if len(field) == 0 || field[0]|0x20 != 'c' && field[0]|0x20 != 'l' {
		return
	}
	name, _, found := bytes.Cut(field, []byte{':'})
	value := f.field + len(name) + 1
	name = bytes.TrimRight(name, " \t\r\n")
	if found && (isLong(name) || len(name) == 1 && name[0]|0x20 == 'l') {
		f.length = span{value, end}
		f.lengths++
	}
}

// isLong tells whether name is Content-Length, in any case.
func isLong(name []byte) bool {
	return len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length"))
}

// bounded reads Content-Length. Where there is none, or two, or it is no
// number, message.Parse finds the same fault; a number too large is broken
// here.
func (f *framer) bounded(msg []byte) token {
	if f.lengths != 1 {
		return broken
	}
	value := bytes.Trim(msg[f.length.start:f.length.end], " \t\r\n")
	n, ok := message.ParseUint(string(value), 1<<31)
	f.large = ok && n > uint64(max(f.limit-f.head, 0))
	if !ok || f.large {
		return broken
	}
	f.body = int(n)
	return framed
}
