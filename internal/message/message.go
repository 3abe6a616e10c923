// Package message reads a SIP message into an index of its header lines over
// the bytes as they came, and writes it again with edits spliced in, in one
// copy (RFC 3261 §7, §18.3, §20, §25; RFC 4475; RFC 5118). It owns the one
// tokenizer that decides for everybody: names, folds, quotes, lists,
// duplicates and limits.
package message

import "iter"

// Framing tells what bounds a message.
type Framing uint8

// The framings of RFC 3261 §18.3.
const (
	Datagram Framing = iota // the datagram's end, or Content-Length before it
	Stream                  // Content-Length, which must be there
)

// A Line is one header line (with its folded continuations): byte offsets into
// Message.Raw. The name is Raw[Start:NameEnd], the value, trimmed of blanks,
// Raw[ValueStart:ValueEnd]; End is past the last CRLF.
type Line struct {
	ID                                        Header
	Start, NameEnd, ValueStart, ValueEnd, End int32
}

// A Message is a SIP message as it was received: an index over the original
// bytes; nothing is copied or normalised. Parse and Reset make it; it may then
// be read by several goroutines.
type Message struct {
	Raw       string // exactly this message, without CRLFs before it and octets past Content-Length
	Method    string // of a request, as written
	URI       string // the Request-URI, as written
	Status    int    // of a response; 0 in a request
	Reason    string // the response's reason phrase
	Lines     []Line
	BodyStart int // offset of the body in Raw

	first      [numHeaders]uint8 // index of the first line of each header, plus 1
	seen       uint64            // bit set of the headers there
	twice      uint64            // bit set of those with more than one line
	cseq       uint32
	cseqMethod string // "" when CSeq could not be read
	crude      bool   // there are line ends, CRs or NULs that must not be sent on
}

// An Error says why a message cannot be handled, and the answer that a LAN
// peer gets.
type Error struct {
	Status int    // 4xx, 505 or 513; 0: drop it silently (responses, ACKs, nothing to answer to)
	Reason string // the answer's reason phrase: what is wrong
	Close  bool   // the end of the message is not known: a stream cannot go on
}

// Error returns what is wrong.
func (e *Error) Error() string { return "reading message: " + e.Reason }

// Parse reads the message at the start of raw. On an error, which is always an
// *Error, the message is there too, as far as it could be read, so that it can
// be answered.
//
// Checked is what a proxy needs (RFC 3261 §16.3): the start line, line ends,
// the limits, the five headers every message has, singletons, Content-Length,
// the topmost Via, Route, and the Contacts of a REGISTER. All else passes,
// well formed or not.
func Parse(raw string, f Framing) (*Message, error) {
	m := &Message{Lines: make([]Line, 0, usualLines)}
	return m, m.Reset(raw, f)
}

// IsRequest tells a request from a response.
func (m *Message) IsRequest() bool { return m.Status == 0 }

// Name returns the name of l as written.
func (m *Message) Name(l Line) string { return m.Raw[l.Start:l.NameEnd] }

// Value returns the value of l as written, folds included.
func (m *Message) Value(l Line) string { return m.Raw[l.ValueStart:l.ValueEnd] }

// firstLine returns the index of the first line of h, len(m.Lines) if none.
func (m *Message) firstLine(h Header) int {
	if n := int(m.first[h]); n != 0 {
		return n - 1
	}
	return len(m.Lines)
}

// nextLine returns the index of the line of h after line n, len(m.Lines) if none.
func (m *Message) nextLine(h Header, n int) int {
	if m.twice&(1<<h) == 0 {
		return len(m.Lines)
	}
	for n++; n < len(m.Lines) && m.Lines[n].ID != h; n++ {
	}
	return n
}

// First returns the first line of h.
func (m *Message) First(h Header) (Line, bool) {
	if n := m.first[h]; n != 0 {
		return m.Lines[n-1], true
	}
	return Line{}, false
}

// Get returns the value of the first line of h, "" if there is none.
func (m *Message) Get(h Header) string {
	n := m.first[h]
	if n == 0 {
		return ""
	}
	l := &m.Lines[n-1]
	return m.Raw[l.ValueStart:l.ValueEnd]
}

// Count returns the number of lines of h.
func (m *Message) Count(h Header) int {
	count := 0
	for n := m.firstLine(h); n < len(m.Lines); n = m.nextLine(h, n) {
		count++
	}
	return count
}

// Each ranges over the lines of h in order.
func (m *Message) Each(h Header) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for n := m.firstLine(h); n < len(m.Lines); n = m.nextLine(h, n) {
			if !yield(m.Lines[n]) {
				return
			}
		}
	}
}

// Body returns the body, "" if there is none.
func (m *Message) Body() string { return m.Raw[m.BodyStart:] }

// CSeq returns the number and method of the CSeq header; ok is false when it
// is missing or broken.
func (m *Message) CSeq() (n uint32, method string, ok bool) {
	return m.cseq, m.cseqMethod, m.cseqMethod != ""
}
