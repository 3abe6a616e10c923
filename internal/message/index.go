package message

import (
	"slices"
	"strings"
)

// Reset reads the message at the start of raw as Parse does, into m's own
// memory; what was read from m before stays valid, as it is part of the older
// raw.
func (m *Message) Reset(raw string, f Framing) error {
	for len(raw) >= 2 && raw[0] == '\r' && raw[1] == '\n' {
		raw = raw[2:] // RFC 3261 §7.5
	}
	*m = Message{Raw: raw, Lines: m.Lines[:0]}
	p := parser{m: m, framing: f}
	pos := p.startLine()
	m.BodyStart = p.index(pos)
	p.body()
	p.check()
	return p.verdict()
}

// A parser holds the first mistake found in a message while it is read.
type parser struct {
	m       *Message
	framing Framing
	bad     Error
	request bool
}

// fail notes a mistake; the first one is the one that is answered.
func (p *parser) fail(status int, reason string) {
	if p.bad.Reason == "" {
		p.bad.Status, p.bad.Reason = status, reason
	}
}

// lost notes a mistake after which a stream cannot go on.
func (p *parser) lost(status int, reason string) {
	p.fail(status, reason)
	p.bad.Close = p.framing == Stream
}

// verdict returns the error to hand out, if any. A response is never answered,
// nor an ACK (RFC 3261 §17), nor what has no Via to answer to.
func (p *parser) verdict() error {
	if p.bad.Reason == "" {
		return nil
	}
	e := p.bad
	if !p.request || p.m.Method == "ACK" || p.m.first[Via] == 0 {
		e.Status = 0
	}
	return &e
}

// startLine reads the request or status line and returns the offset past it.
func (p *parser) startLine() int {
	raw := p.m.Raw
	if len(raw) > MaxMessage {
		p.lost(513, "Message Too Large")
	}
	nl := strings.IndexByte(raw, '\n')
	if nl < 0 {
		p.lost(400, "No Start Line")
		nl = len(raw) - 1
	}
	line := raw[:nl+1]
	if n := len(line); n >= 2 && line[n-2] == '\r' {
		line = line[:n-2]
	} else {
		p.crude()
	}
	if len(line) > MaxStartLine {
		p.fail(414, "Start Line Too Long")
	}
	if len(line) >= 4 && EqualFold(line[:4], "SIP/") {
		p.statusLine(line)
	} else {
		p.request = true
		p.requestLine(line)
	}
	return nl + 1
}

func (p *parser) crude() {
	p.m.crude = true
	p.fail(400, "Bad Line End")
}

// index notes where each header line is, up to and with the empty line, and
// returns the offset past that.
func (p *parser) index(pos int) int {
	m := p.m
	raw := m.Raw
	crs := 1
	for pos < len(raw) {
		start := pos
		nl := strings.IndexByte(raw[pos:], '\n')
		if nl < 0 {
			break
		}
		pos += nl + 1
		crs++
		if nl == 0 || raw[pos-2] != '\r' {
			p.crude()
		}
		if nl <= 1 && (nl == 0 || raw[start] == '\r') {
			p.octets(pos, crs)
			return pos
		}
		for pos < len(raw) && (raw[pos] == ' ' || raw[pos] == '\t') {
			if nl = strings.IndexByte(raw[pos:], '\n'); nl < 0 {
				break
			}
			pos += nl + 1
			crs++
			if raw[pos-2] != '\r' {
				p.crude()
			}
		}
		if len(m.Lines) == MaxHeaders {
			p.lost(400, "Too Many Headers")
			return len(raw)
		}
		p.line(start, pos)
	}
	p.lost(400, "No End of Headers")
	return len(raw)
}

// line notes the header line raw[start:end].
func (p *parser) line(start, end int) {
	m := p.m
	raw := m.Raw
	id, colon := findName(raw, start, end)
	if colon < 0 {
		p.fail(400, "Bad Header Line")
		return
	}
	nameEnd := colon
	if id == Other {
		if id, nameEnd = p.oddName(start, colon); nameEnd == start {
			return
		}
	}
	vs, ve := colon+1, end-2
	if raw[vs] == ' ' {
		vs++
	}
	if raw[vs] <= ' ' || raw[ve-1] <= ' ' || m.crude {
		if raw[ve] != '\r' {
			ve++
		}
		vs, ve = trim(raw, vs, ve)
	}
	n := len(m.Lines)
	if n == cap(m.Lines) {
		m.Lines = slices.Grow(m.Lines, max(n, usualLines))
	}
	m.Lines = m.Lines[:n+1]
	l := &m.Lines[n] // field by field: a Line made elsewhere and copied costs more than all else here
	l.ID, l.Start, l.NameEnd = id, int32(start), int32(nameEnd)
	l.ValueStart, l.ValueEnd, l.End = int32(vs), int32(ve), int32(end)
	bit := uint64(1) << id
	if m.seen&bit == 0 {
		m.first[id] = uint8(n + 1)
	}
	m.twice |= m.seen & bit
	m.seen |= bit
	if end-start > MaxHeaderLine {
		p.fail(400, "Header Line Too Long")
	}
}

// oddName reads a name that findName does not know: of no interest, with
// blanks before its colon, or none at all, when it returns start.
func (p *parser) oddName(start, colon int) (id Header, end int) {
	raw := p.m.Raw
	for end = colon; end > start && isBlank(raw[end-1]); end-- {
	}
	name := raw[start:end]
	if !isToken(name) {
		p.fail(400, "Bad Header Name")
		return Other, start
	}
	if (end < colon || start+8 > len(raw)) && len(name) <= maxName {
		id, _ = findName(name+":       ", 0, len(name)+1)
	}
	return id, end
}

// octets checks the header block raw[:end], which has that many line ends, for
// CRs that end no line and for NULs that no quoted-pair holds.
func (p *parser) octets(end, crs int) {
	head := p.m.Raw[:end]
	if strings.Count(head, "\r") != crs {
		p.crude()
	}
	if strings.IndexByte(head, 0) >= 0 && !p.quotedNULs(strings.Count(head, "\x00")) {
		p.m.crude = true
		p.fail(400, "NUL Octet")
	}
}

// quotedNULs tells whether so many NULs of the header block are in
// quoted-pairs, as in the To of RFC 4475 §3.1.1.2.
func (p *parser) quotedNULs(total int) bool {
	m := p.m
	for _, l := range m.Lines {
		v := m.Value(l)
		for i := 0; i < len(v); i++ {
			if v[i] != '"' {
				continue
			}
			end := min(quotedEnd(v, i), len(v))
			for ; i < end; i++ {
				if v[i] == '\\' {
					if i++; i < end && v[i] == 0 {
						total--
					}
				}
			}
			i--
		}
	}
	return total == 0
}

// body applies Content-Length (RFC 3261 §18.3): Raw is cut there.
func (p *parser) body() {
	m := p.m
	have := len(m.Raw) - m.BodyStart
	switch {
	case m.twice&(1<<ContentLength) != 0:
		p.lost(400, "Duplicate Content-Length")
	case m.first[ContentLength] != 0:
		n, ok := ParseUint(m.Get(ContentLength), 1<<31)
		switch {
		case !ok:
			p.lost(400, "Bad Content-Length")
		case n > uint64(have):
			p.lost(400, "Body Too Short")
		default:
			have = int(n)
			m.Raw = m.Raw[:m.BodyStart+have]
		}
	case p.framing == Stream:
		p.lost(400, "Missing Content-Length")
	}
	if have > MaxBody {
		p.fail(413, "Body Too Large")
	}
}
