package rewrite

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// What ParseSDP reads at most: a real offer has 10 to 80 lines and 1 to 4 streams.
const (
	maxSDPLines   = 200
	maxSDPStreams = 20
)

// An SDP is a session description as it was received (RFC 8866): a view of
// what Pinhole must know of it, over the original bytes. It is never changed
// and safe for concurrent use.
type SDP struct {
	Streams []Stream // one for each m= line, in order
	ICE     bool     // it has ICE attributes (RFC 8839)

	body  string
	lines []sdpLine
	conn  int // the first c= of the session part, an index into lines; -1: none
}

// A Stream is one m= line with what its section and the session part say of it.
type Stream struct {
	Media     string         // "audio", "video", "image", …, as written
	Proto     string         // "RTP/AVP", "udptl", …, as written
	Port      int            // 0: rejected or removed
	Ports     int            // n of "port/n": how many port pairs; 1 where not written
	Host      string         // of the c= that holds for it, as written, without TTL; "": none
	Addr      netip.Addr     // Host where it is an address, unmapped; else zero
	RTCP      netip.AddrPort // of a=rtcp (RFC 3605); its Addr is zero where only Host, a name, says it. Zero: port+1, or as Mux
	Mux       bool           // a=rtcp-mux or a=rtcp-mux-only (RFC 5761, RFC 8858)
	Relayable bool           // one UDP port pair of RTP or one UDP port of UDPTL; false for port 0
	Direction string         // sendrecv, sendonly, recvonly, inactive
	Hold      bool           // the address is 0.0.0.0 or ::, or the direction not sendrecv (RFC 3264 §8.4)
	Payloads  []uint8        // RTP payload types in their order; nil where there is no RTP header
	MID       string         // a=mid, "": none (RFC 5888)

	line int // its m=, an index into lines
	conn int // its own first c=, an index into lines; -1: the session's
}

// An sdpLine is one line of the body: its text without line end, then the end.
type sdpLine struct {
	text   string
	eol    string // "\r\n", "\n", or less at the end of the body
	stream int    // the section it stands in; -1: the session part
}

// ParseSDP reads a body of type application/sdp. It keeps what it does not
// know, and accepts LF line ends, a missing last one and blank lines. An error
// means that the body is no SDP, has a lone CR or a NUL, an m= line that nobody
// could use, or exceeds the limits (200 lines, 20 streams).
func ParseSDP(body string) (*SDP, error) {
	s := &SDP{body: body, conn: -1}
	if !strings.HasPrefix(body, "v=") {
		return nil, fmt.Errorf("parsing sdp: no v= line at the start: %.20q", body)
	}
	for rest := body; rest != ""; {
		if len(s.lines) == maxSDPLines {
			return nil, fmt.Errorf("parsing sdp: more than %d lines", maxSDPLines)
		}
		var l sdpLine
		l.text, l.eol, rest = cutLine(rest)
		if strings.ContainsAny(l.text, "\r\x00") {
			// Not a byte-string (RFC 8866 §9): somebody else may see two lines.
			return nil, fmt.Errorf("parsing sdp: CR or NUL in %q", l.text)
		}
		if strings.HasPrefix(l.text, "m=") {
			if len(s.Streams) == maxSDPStreams {
				return nil, fmt.Errorf("parsing sdp: more than %d m= lines", maxSDPStreams)
			}
			st, err := parseMedia(l.text)
			if err != nil {
				return nil, err
			}
			st.line = len(s.lines)
			s.Streams = append(s.Streams, st)
		}
		l.stream = len(s.Streams) - 1
		s.lines = append(s.lines, l)
	}
	s.readSections()
	return s, nil
}

// cutLine splits off the first line of s; the last one may have half an end.
func cutLine(s string) (text, eol, rest string) {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		text = strings.TrimSuffix(s, "\r")
		return text, s[len(text):], ""
	}
	if i > 0 && s[i-1] == '\r' {
		return s[:i-1], s[i-1 : i+1], s[i+1:]
	}
	return s[:i], s[i : i+1], s[i+1:]
}

// parseMedia reads an m= line (RFC 8866 §5.14).
func parseMedia(text string) (Stream, error) {
	st := Stream{Ports: 1, conn: -1}
	f := blankFields(text[len("m="):])
	if len(f) < 3 {
		return st, fmt.Errorf("parsing sdp: incomplete line %q", text)
	}
	st.Media, st.Proto = f[0], f[2]
	port, count, several := strings.Cut(f[1], "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return st, fmt.Errorf("parsing sdp: port in %q", text)
	}
	st.Port = int(n)
	if several {
		if n, err = strconv.ParseUint(count, 10, 8); err != nil || n == 0 {
			return st, fmt.Errorf("parsing sdp: number of ports in %q", text)
		}
		st.Ports = int(n)
	}
	rtp, udptl := protoKind(st.Proto)
	st.Relayable = st.Port != 0 && (rtp || udptl)
	if rtp {
		for _, format := range f[3:] {
			if pt, err := strconv.ParseUint(format, 10, 7); err == nil {
				st.Payloads = append(st.Payloads, uint8(pt))
			}
		}
	}
	return st, nil
}

// protoKind tells a transport that carries RTP over UDP from one that carries
// UDPTL; TCP, MSRP, BFCP and what is unknown are neither and stay as they are.
func protoKind(proto string) (rtp, udptl bool) {
	p := strings.ToUpper(proto)
	p = strings.TrimPrefix(p, "UDP/TLS/")
	return strings.HasPrefix(p, "RTP/"), p == "UDPTL"
}

// readSections fills in what the lines after the m= lines, and those of the
// session part, say of the streams.
func (s *SDP) readSections() {
	session := Stream{conn: -1, Direction: "sendrecv"}
	for i, l := range s.lines {
		st := &session
		if l.stream >= 0 {
			st = &s.Streams[l.stream]
		}
		switch {
		case strings.HasPrefix(l.text, "c="):
			if st.conn < 0 {
				st.conn = i
				st.Host, st.Addr = parseConnection(l.text[len("c="):])
			}
		case strings.HasPrefix(l.text, "a="):
			name, value, _ := strings.Cut(l.text[len("a="):], ":")
			st.readAttribute(name, value)
			s.ICE = s.ICE || isICE(name)
		}
	}
	s.conn = session.conn
	for i := range s.Streams {
		st := &s.Streams[i]
		if st.conn < 0 {
			st.Host, st.Addr = session.Host, session.Addr
		}
		if st.RTCP.Port() != 0 && !st.RTCP.Addr().IsValid() {
			st.RTCP = netip.AddrPortFrom(st.Addr, st.RTCP.Port())
		}
		if st.Direction == "" {
			st.Direction = session.Direction
		}
		st.Hold = st.Addr.IsUnspecified() || st.Direction != "sendrecv"
	}
}

// readAttribute notes what an a= line says of its section.
func (st *Stream) readAttribute(name, value string) {
	switch name {
	case "sendrecv", "sendonly", "recvonly", "inactive":
		st.Direction = name
	case "rtcp-mux", "rtcp-mux-only":
		st.Mux = true
	case "mid":
		st.MID = strings.TrimSpace(value)
	case "rtcp":
		port, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || st.RTCP.Port() != 0 {
			return
		}
		_, addr := parseConnection(rest)
		st.RTCP = netip.AddrPortFrom(addr, uint16(n))
	}
}

// parseConnection reads "IN IP4 host/ttl" (RFC 8866 §5.7). The address is zero
// where the host is a name or missing.
func parseConnection(value string) (host string, addr netip.Addr) {
	f := blankFields(value)
	if len(f) < 3 {
		return "", netip.Addr{}
	}
	host, _, _ = strings.Cut(f[2], "/")
	if a, err := netip.ParseAddr(host); err == nil {
		addr = a.WithZone("").Unmap()
	}
	return host, addr
}

// blankFields splits s at blanks and nothing else.
func blankFields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' })
}

// isICE reports whether an attribute belongs to ICE (RFC 8839 §5).
func isICE(name string) bool {
	switch name {
	case "candidate", "remote-candidates", "end-of-candidates":
		return true
	}
	return strings.HasPrefix(name, "ice-")
}
