package peer

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// hostText writes an address as a SIP host: an IPv6 one in brackets.
func hostText(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// A session is what a peer reads of an SDP body: its first audio stream
// (RFC 8866), unresolved.
type session struct {
	host      string // of c=
	port      int
	rtcp      int    // a=rtcp, 0 if none
	direction string // sendrecv, sendonly, recvonly or inactive
}

// parseSDP reads body; ok is false when it has no audio stream.
func parseSDP(body string) (s session, ok bool) {
	s.direction = "sendrecv"
	inAudio, inOther := false, false
	for line := range strings.SplitSeq(strings.ReplaceAll(body, "\r\n", "\n"), "\n") {
		key, value, found := strings.Cut(line, "=")
		if !found || inOther && key != "m" {
			continue
		}
		switch key {
		case "m":
			f := strings.Fields(value)
			inOther = inAudio || len(f) < 2 || f[0] != "audio"
			if inOther {
				continue
			}
			inAudio = true
			s.port, _ = strconv.Atoi(f[1])
		case "c":
			if f := strings.Fields(value); len(f) == 3 {
				s.host = f[2]
			}
		case "a":
			s.attribute(value, inAudio)
		}
	}
	return s, inAudio
}

func (s *session) attribute(value string, media bool) {
	switch value {
	case "sendrecv", "sendonly", "recvonly", "inactive":
		s.direction = value
		return
	}
	if p, ok := strings.CutPrefix(value, "rtcp:"); ok && media {
		if f := strings.Fields(p); len(f) > 0 {
			s.rtcp, _ = strconv.Atoi(f[0])
		}
	}
}

// target returns where to send RTP: not valid when the stream is refused, on
// hold by address, or named by a host name, which peers do not resolve.
func (s session) target() netip.AddrPort {
	a, err := netip.ParseAddr(s.host)
	if err != nil || a.IsUnspecified() || s.port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(s.port))
}

// mirror returns the direction an answer has for an offer's.
func mirror(direction string) string {
	switch direction {
	case "sendonly":
		return "recvonly"
	case "recvonly":
		return "sendonly"
	}
	return direction
}

// sdpFor writes an offer or answer with one audio stream at addr.
func sdpFor(addr netip.AddrPort, id, version uint64, direction string) string {
	family := "IP4"
	if addr.Addr().Is6() {
		family = "IP6"
	}
	ip := addr.Addr()
	return strings.Join([]string{
		"v=0",
		fmt.Sprintf("o=- %d %d IN %s %s", id, version, family, ip),
		"s=-",
		fmt.Sprintf("c=IN %s %s", family, ip),
		"t=0 0",
		fmt.Sprintf("m=audio %d RTP/AVP 0 101", addr.Port()),
		"a=rtpmap:0 PCMU/8000",
		"a=rtpmap:101 telephone-event/8000",
		"a=fmtp:101 0-16",
		"a=ptime:20",
		"a=" + direction,
		"",
	}, "\r\n")
}
