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
	raw, lines, n := m.Raw, m.Lines[:cap(m.Lines)], 0
	ends := 1 // lines ended, so far the start line
	var seen, twice uint64
	for pos < len(raw) {
		start := pos
		nl := strings.IndexByte(raw[pos:], '\n')
		if nl < 0 {
			break
		}
		pos += nl + 1
		ends++
		if nl == 0 || raw[pos-2] != '\r' {
			p.crude()
		}
		if nl == 0 || nl == 1 && raw[start] == '\r' {
			m.Lines, m.seen, m.twice = lines[:n], seen, twice
			p.octets(pos, ends)
			return pos
		}
		if pos < len(raw) && (raw[pos] == ' ' || raw[pos] == '\t') {
			pos, ends = p.folds(pos, ends)
		}
		if n == MaxHeaders {
			p.lost(400, "Too Many Headers")
			break
		}
		if n == len(lines) {
			lines = more(lines)
		}
		// Into place, field by field: a Line made elsewhere and copied costs
		// more than all else here.
		l := &lines[n]
		id, colon := findName(raw, start, pos)
		if l.NameEnd = int32(colon); id == Other {
			if id, colon = p.oddName(l, start, pos); colon < 0 {
				continue
			}
		}
		vs, ve := colon+1, pos-2
		if raw[vs] == ' ' {
			vs++
		}
		if raw[vs] <= ' ' || raw[ve-1] <= ' ' || m.crude {
			vs, ve = trimLine(raw, vs, pos)
		}
		l.ID, l.Start, l.ValueStart, l.ValueEnd, l.End = id, int32(start), int32(vs), int32(ve), int32(pos)
		bit := uint64(1) << id
		n++
		if seen&bit == 0 {
			m.first[id] = uint8(n)
		}
		twice |= seen & bit
		seen |= bit
		if pos-start > MaxHeaderLine {
			p.fail(400, "Header Line Too Long")
		}
	}
	m.Lines, m.seen, m.twice = lines[:n], seen, twice
	p.lost(400, "No End of Headers")
	return len(raw)
}

// more returns lines made longer.
func more(lines []Line) []Line {
	lines = slices.Grow(lines, max(len(lines), usualLines))
	return lines[:cap(lines)]
}

// folds returns the offset past the continuations at raw[pos:], and ends with
// them counted.
func (p *parser) folds(pos, ends int) (int, int) {
	raw := p.m.Raw
	for pos < len(raw) && (raw[pos] == ' ' || raw[pos] == '\t') {
		nl := strings.IndexByte(raw[pos:], '\n')
		if nl < 0 {
			break
		}
		pos += nl + 1
		ends++
		if raw[pos-2] != '\r' {
			p.crude()
		}
	}
	return pos, ends
}

// trimLine narrows raw[start:end], which ends a line, to what is in it.
func trimLine(raw string, start, end int) (int, int) {
	if end--; raw[end-1] == '\r' {
		end--
	}
	return trim(raw, start, max(start, end))
}

// oddName reads a name that findName does not know: of no interest, with
// blanks before its colon, or at the very end of the message. It returns a
// colon of -1 when there is no name.
func (p *parser) oddName(l *Line, start, end int) (id Header, colon int) {
	raw := p.m.Raw
	if colon = strings.IndexByte(raw[start:end], ':'); colon < 0 {
		p.fail(400, "Bad Header Line")
		return Other, -1
	}
	name := raw[start : start+colon]
	for name != "" && isBlank(name[len(name)-1]) {
		name = name[:len(name)-1]
	}
	if !isToken(name) {
		p.fail(400, "Bad Header Name")
		return Other, -1
	}
	if (len(name) < colon || l.NameEnd < 0) && len(name) <= maxName {
		id, _ = findName(name+":       ", 0, len(name)+1)
	}
	l.NameEnd = int32(start + len(name))
	return id, start + colon
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
