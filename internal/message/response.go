package message

import (
	"strconv"
	"strings"
)

// AppendResponse appends a response of our own to the request m to dst (RFC
// 3261 §8.2.6): its Via lines, From, Call-ID and CSeq byte for byte, its To
// with ";tag=" and toTag unless that is "" or To has a tag, then headers
// (whole lines without CRLF), and Content-Length: 0. What m lacks is left out.
//
// Inserted strings with a CR, LF or NUL would make lines of their own: such a
// header, tag or reason is left out.
func (m *Message) AppendResponse(dst []byte, status int, reason, toTag string, headers ...string) []byte {
	return m.AppendResponseVia(dst, "", status, reason, toTag, headers...)
}

// AppendResponseVia is AppendResponse with vias, whole lines with their CRLFs,
// in the place of m's own Via lines: those with received and rport filled in
// (RFC 3581 §4). "" stands for m's own.
func (m *Message) AppendResponseVia(dst []byte, vias string, status int, reason, toTag string, headers ...string) []byte {
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	if oneLine(reason) {
		dst = append(dst, reason...)
	}
	dst = append(dst, "\r\n"...)
	dst = append(dst, vias...)
	if vias == "" {
		for l := range m.Each(Via) {
			dst = m.appendLine(dst, l, "")
		}
	}
	for _, h := range [...]Header{From, To, CallID, CSeq} {
		l, ok := m.First(h)
		switch {
		case ok && h == To:
			dst = m.appendLine(dst, l, toTag)
		case ok:
			dst = m.appendLine(dst, l, "")
		}
	}
	for _, h := range headers {
		if oneLine(h) && h != "" {
			dst = append(dst, h...)
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

// appendLine appends l with tag as its tag parameter, unless that is "" or l
// has one. Line ends that must not be sent on become spaces.
func (m *Message) appendLine(dst []byte, l Line, tag string) []byte {
	from := len(dst)
	dst = append(dst, m.Raw[l.Start:l.ValueEnd]...)
	if tag != "" && oneLine(tag) {
		if a, err := ParseNameAddr(m.Value(l)); err == nil {
			if _, ok := Param(a.Params, "tag"); !ok {
				dst = append(dst, ";tag="...)
				dst = append(dst, tag...)
			}
		}
	}
	if !m.crude {
		return append(dst, m.Raw[l.ValueEnd:l.End]...)
	}
	for i := from; i < len(dst); i++ {
		if c := dst[i]; c == '\r' || c == '\n' || c == 0 {
			dst[i] = ' '
		}
	}
	return append(dst, "\r\n"...)
}

// oneLine tells whether s can stand in a header line.
func oneLine(s string) bool {
	return strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 && strings.IndexByte(s, 0) < 0
}
