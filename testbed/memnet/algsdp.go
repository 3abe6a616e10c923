package memnet

import (
	"net/netip"
	"strconv"
	"strings"
)

// sdp rewrites the session description of a.msg; false drops the message.
// Unlike SIP it is read by lines alone.
func (a *alg) sdp() bool {
	from := sdpLine(a.msg, 0, "v=", "")
	if from < 0 {
		return true
	}
	session, sessionOK := a.connection(from)
	var media netip.Addr
	for at, streams := from, 0; streams < 3; {
		m := sdpLine(a.msg, at, "m=", "")
		if m < 0 {
			break
		}
		at = m
		kind, rest, _ := strings.Cut(a.msg[m:], " ")
		if kind != "audio" && kind != "video" && kind != "image" {
			continue
		}
		port, _ := strconv.Atoi(leadingDigits(rest))
		if port == 0 {
			continue
		}
		if port < 1024 || port > 65535 {
			return false
		}
		own, ownOK := a.connection(at)
		switch {
		case ownOK:
			media = own
		case sessionOK:
			media = session
		default:
			return false
		}
		media = a.media(media, uint16(port))
		if ownOK && !(a.setAddress(at, "c=", media) && a.setLength()) {
			return false
		}
		streams++
	}
	if !media.IsValid() {
		return true
	}
	a.setAddress(from, "c=", media)
	return a.setAddress(from, "o=", media) && a.setLength()
}

// media returns the address that a stream at addr gets, and expects RTP and
// RTCP there where it is the sender's own: from the SIP server's address only.
func (a *alg) media(addr netip.Addr, port uint16) netip.Addr {
	if addr != a.src.Addr() || a.newSrc == a.src {
		return addr
	}
	for _, p := range []uint16{port &^ 1, port | 1} {
		a.expect(false, a.dst.Addr(), netip.AddrPortFrom(addr, p), p, expectTime)
	}
	return a.newSrc.Addr()
}

// connection returns the address of the next c= line before an m= line.
func (a *alg) connection(from int) (netip.Addr, bool) {
	s, ok := sdpAddress(a.msg, from, "c=")
	if !ok {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(a.msg[s.start:s.end])
	return addr, err == nil
}

// setAddress replaces the address of the next line of that kind.
func (a *alg) setAddress(from int, kind string, addr netip.Addr) bool {
	s, ok := sdpAddress(a.msg, from, kind)
	if ok {
		a.replace(s, addr.String())
	}
	return ok
}

// setLength makes Content-Length count from the v= line.
func (a *alg) setLength() bool {
	f := fields(a.msg, "Content-Length", "l")
	if len(f) == 0 {
		return false
	}
	n := len(a.msg) - (sdpLine(a.msg, 0, "v=", "") - len("v="))
	start := f[0].start
	a.replace(span{start, start + len(leadingDigits(a.msg[start:]))}, strconv.Itoa(n))
	return true
}

// sdpAddress finds the IPv4 address in the next line of that kind before an
// m= line.
func sdpAddress(msg string, from int, kind string) (span, bool) {
	at := sdpLine(msg, from, kind, "m=")
	if at < 0 {
		return span{}, false
	}
	line, _, _ := strings.Cut(msg[at:], "\n")
	before, _, found := strings.Cut(line, "IN IP4 ")
	if !found {
		return span{}, false
	}
	s, _, ok, _ := hostPort(msg, at+len(before)+len("IN IP4 "))
	return s, ok
}

// sdpLine returns the offset past kind in the next line that begins so, before
// a line that begins with until; -1 where there is none.
func sdpLine(msg string, from int, kind, until string) int {
	for {
		nl := strings.IndexByte(msg[from:], '\n')
		if nl < 0 {
			return -1
		}
		from += nl + 1
		switch line := msg[from:]; {
		case until != "" && prefixFold(line, until):
			return -1
		case prefixFold(line, kind):
			return from + len(kind)
		}
	}
}
