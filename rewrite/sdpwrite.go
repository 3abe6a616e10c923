package rewrite

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A StreamAddr is where one stream is to be sent from now on. A zero RTP
// leaves the stream's address as it is. A zero RTCP is RTP's port+1, and one
// equal to RTP is for rtcp-mux: neither needs a line.
type StreamAddr struct{ RTP, RTCP netip.AddrPort }

// SDPOptions say how a body is rewritten.
type SDPOptions struct {
	Origin    netip.Addr   // address of o=, constant for a dialog; zero: left as it is
	Private   []netip.Addr // addresses that may stay nowhere in the text: replaced by Origin
	ICE       string       // "strip", also "": remove ICE, as no check could pass the relay; "pass": change nothing at all
	Normalise bool         // for plaintext flows: a numeric IPv4 c= for each stream, no port 1 to 1023 (an ALG drops the message otherwise)
}

// Rewrite returns the body with the streams at the addresses given, one for
// each stream. The number and order of m= lines, unknown lines and line ends
// stay. Port 0 stays 0 and an address 0.0.0.0 or :: stays (RFC 3264 §8.2,
// §8.4); a stream that is not Relayable keeps its port and, but for Private
// and Normalise, its address. BUNDLE, source-filter and altc are removed:
// each stream has an address of its own, and they name others.
func (s *SDP) Rewrite(addrs []StreamAddr, o SDPOptions) (string, error) {
	if len(addrs) != len(s.Streams) {
		return "", fmt.Errorf("rewriting sdp: %d addresses for %d streams", len(addrs), len(s.Streams))
	}
	for i, a := range addrs {
		if a.RTP.IsValid() && a.RTP.Port() == 0 {
			return "", fmt.Errorf("rewriting sdp: stream %d: port 0 in %v", i, a.RTP)
		}
	}
	if o.ICE == "pass" {
		return s.body, nil
	}
	w := sdpWriter{s: s, addrs: addrs, o: o, conn: make([]string, len(s.Streams))}
	w.scrubber = newScrubber(o, addrs)
	w.connections()
	for i, l := range s.lines {
		w.eol = l.eol
		w.line(i, l)
		w.insert(i, l)
	}
	return w.join(), nil
}

// An sdpWriter holds one Rewrite.
type sdpWriter struct {
	scrubber
	s       *SDP
	addrs   []StreamAddr
	o       SDPOptions
	conn    []string // the c= line stream i must have; "": what holds for it is right
	session string   // the same for the session part
	out     []sdpLine
	eol     string // of the line being written
	rtcp    bool   // the a=rtcp of this section is settled
}

func (w *sdpWriter) add(text string) {
	w.out = append(w.out, sdpLine{text: text, eol: w.eol})
}

// join puts the lines together; a body without a last line end stays so.
func (w *sdpWriter) join() string {
	eol, last := w.s.lines[0].eol, w.eol
	if !strings.HasSuffix(eol, "\n") {
		eol = "\r\n"
	}
	var b strings.Builder
	for i, l := range w.out {
		b.WriteString(l.text)
		switch {
		case i == len(w.out)-1 && !strings.HasSuffix(last, "\n"):
			b.WriteString(last)
		case !strings.HasSuffix(l.eol, "\n"):
			b.WriteString(eol)
		default:
			b.WriteString(l.eol)
		}
	}
	return b.String()
}

// relayed reports whether stream i gets the address given.
func (w *sdpWriter) relayed(i int) bool {
	return w.s.Streams[i].Relayable && w.addrs[i].RTP.IsValid()
}

// connections settles what each c= says. The session's c= serves the streams
// that have none of their own and agree with it; the others get one of their
// own (RFC 8866 §5.7: the media level overrides).
func (w *sdpWriter) connections() {
	var old string
	if w.s.conn >= 0 {
		old = w.scrub(w.s.lines[w.s.conn].text)
	}
	var inherited, relay string // what a stream under the session's c= wants, what any relayed one does
	var fromRelay bool
	for i := range w.s.Streams {
		st, relayed := &w.s.Streams[i], w.relayed(i)
		w.conn[i] = w.wanted(i)
		if relayed && relay == "" {
			relay = w.conn[i]
		}
		if st.conn >= 0 || w.s.conn < 0 || st.Port == 0 {
			continue
		}
		if w.conn[i] == "" {
			w.conn[i] = old
		}
		if inherited == "" || relayed && !fromRelay {
			inherited, fromRelay = w.conn[i], relayed
		}
	}
	if w.s.conn < 0 {
		return
	}
	session := w.sessionConn(inherited, relay, old)
	for i := range w.s.Streams {
		if st := &w.s.Streams[i]; st.conn < 0 && (w.conn[i] == session || st.Port == 0) {
			w.conn[i] = ""
		}
	}
	if session != old {
		w.session = session
	}
}

// sessionConn chooses the session's c= line: one that no stream uses must not
// tell an address either.
func (w *sdpWriter) sessionConn(inherited, relay, old string) string {
	_, addr := parseConnection(old[len("c="):])
	normal := !w.o.Normalise || addr.Is4()
	switch {
	case inherited != "":
		return inherited
	case addr.IsUnspecified() && normal:
		return old
	case addr.IsUnspecified():
		return connection(netip.IPv4Unspecified())
	case relay != "":
		return relay
	case w.o.Origin.IsValid():
		return connection(w.o.Origin)
	case !normal:
		return connection(netip.IPv4Unspecified())
	}
	return old
}

// wanted is the c= line that stream i must have; "" leaves what holds for it.
func (w *sdpWriter) wanted(i int) string {
	st, origin := &w.s.Streams[i], w.o.Origin
	normal := !w.o.Normalise || st.Addr.Is4()
	switch {
	case st.Addr.IsUnspecified() && normal:
		return "" // hold, or an ICE default: any other address would un-hold the call
	case st.Addr.IsUnspecified():
		return connection(netip.IPv4Unspecified())
	case w.relayed(i):
		return connection(w.addrs[i].RTP.Addr())
	case !normal && !origin.Is4():
		return connection(netip.IPv4Unspecified())
	case !normal, st.Port == 0 && st.conn >= 0 && origin.IsValid():
		return connection(origin) // of port 0: means nothing any more, but must not tell
	}
	return ""
}

// connection returns a c= line.
func connection(a netip.Addr) string { return "c=" + netAddr(a) }

// netAddr returns "IN IP4 192.0.2.1".
func netAddr(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return "IN IP4 " + a.String()
	}
	return "IN IP6 " + a.WithZone("").String()
}

// line writes line i, if it may stay.
func (w *sdpWriter) line(i int, l sdpLine) {
	switch {
	case strings.HasPrefix(l.text, "m="):
		w.rtcp = false
		w.add(w.media(l))
	case strings.HasPrefix(l.text, "o="):
		w.add(w.origin(l.text))
	case strings.HasPrefix(l.text, "c="):
		w.connLine(i, l)
	case strings.HasPrefix(l.text, "a="):
		w.attribute(l)
	default:
		w.add(w.scrub(l.text))
	}
}

// insert adds the c= and a=rtcp lines that a section lacks after line i, where
// the order m i c b k a (RFC 8866 §5) wants them.
func (w *sdpWriter) insert(i int, l sdpLine) {
	if l.stream < 0 {
		return
	}
	var rest []sdpLine // of the section
	for n := i + 1; n < len(w.s.lines) && w.s.lines[n].stream == l.stream; n++ {
		rest = w.s.lines[i+1 : n+1]
	}
	var next string
	if len(rest) > 0 {
		next = rest[0].text
	}
	st := &w.s.Streams[l.stream]
	if st.conn < 0 && w.conn[l.stream] != "" && !strings.HasPrefix(next, "i=") {
		w.add(w.conn[l.stream])
		w.conn[l.stream] = ""
	}
	if next != "" && !strings.HasPrefix(next, "a=") {
		return
	}
	for _, r := range rest {
		if strings.HasPrefix(r.text, "a=rtcp:") {
			return // the new one takes its place
		}
	}
	w.addRTCP(l.stream)
}

// media returns the m= line with its new port. "port/n" asks for n pairs; there
// is one relayed pair, so one is offered.
func (w *sdpWriter) media(l sdpLine) string {
	st, port := &w.s.Streams[l.stream], 0
	switch {
	case w.relayed(l.stream):
		port = int(w.addrs[l.stream].RTP.Port())
	case w.o.Normalise && st.Port > 0 && st.Port < 1024:
		// The 9 of an active TCP end (RFC 4145 §4.1) means no port at all; a
		// real one is lost, but so would be the message.
		port = st.Port + 1024
	default:
		return w.scrub(l.text)
	}
	start := fieldStart(l.text, len("m="), 1)
	end := start + strings.IndexAny(l.text[start:], " \t")
	return w.scrub(l.text[:start]) + strconv.Itoa(port) + w.scrub(l.text[end:])
}

// origin returns the o= line with its address replaced: it is an identity, not
// a place to send to (RFC 8866 §5.2), so user name, id and version stay.
func (w *sdpWriter) origin(text string) string {
	at := fieldStart(text, len("o="), 3)
	if !w.o.Origin.IsValid() || at == len(text) {
		return w.scrub(text)
	}
	return w.scrub(text[:at]) + netAddr(w.o.Origin)
}

// fieldStart returns the offset of the n-th field of s after from, len(s) where
// there are fewer.
func fieldStart(s string, from, n int) int {
	i := from
	for ; ; n-- {
		for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
			i++
		}
		if n == 0 || i == len(s) {
			return i
		}
		for i < len(s) && s[i] != ' ' && s[i] != '\t' {
			i++
		}
	}
}

// connLine writes a c= line. Further ones of a section are layers of a
// multicast; beside a new unicast address they mean nothing.
func (w *sdpWriter) connLine(i int, l sdpLine) {
	want, first := w.session, w.s.conn
	if l.stream >= 0 {
		want, first = w.conn[l.stream], w.s.Streams[l.stream].conn
	}
	switch {
	case want == "":
		w.add(w.scrub(l.text))
	case i == first:
		w.add(want)
	}
}

// attribute writes an a= line, if it may stay.
func (w *sdpWriter) attribute(l sdpLine) {
	name, value, _ := strings.Cut(l.text[len("a="):], ":")
	f := blankFields(value)
	switch {
	case isICE(name), name == "source-filter", name == "altc", name == "bundle-only",
		name == "group" && len(f) > 0 && strings.EqualFold(f[0], "BUNDLE"):
	case name == "rtcp" && l.stream >= 0 && w.relayed(l.stream):
		w.addRTCP(l.stream)
	default:
		w.add(w.scrub(l.text))
	}
}

// addRTCP writes the a=rtcp line of a relayed stream (RFC 3605 §2.1), once and
// only where its absence would say something else.
func (w *sdpWriter) addRTCP(stream int) {
	if w.rtcp || !w.relayed(stream) {
		return
	}
	w.rtcp = true
	rtp, rtcp := w.addrs[stream].RTP, w.addrs[stream].RTCP
	carriesRTP, _ := protoKind(w.s.Streams[stream].Proto)
	sameHost := rtcp.Addr() == rtp.Addr()
	if !carriesRTP || rtcp.Port() == 0 || rtcp == rtp || sameHost && int(rtcp.Port()) == int(rtp.Port())+1 {
		return
	}
	text := "a=rtcp:" + strconv.Itoa(int(rtcp.Port()))
	if !sameHost && !w.s.Streams[stream].Addr.IsUnspecified() {
		text += " " + netAddr(rtcp.Addr())
	}
	w.add(text)
}
