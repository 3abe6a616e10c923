package transaction

import (
	"net/netip"
	"strconv"
	"strings"

	"pinhole/internal/message"
)

// Key finds the server transaction of a request (RFC 3261 §17.2.3). It is
// comparable, and keeps the bytes of the message it was read from alive.
type Key struct {
	id     string // the branch; without a cookie what RFC 2543 compares, which has spaces
	host   string // sent-by
	method string // INVITE for ACK
	port   int
	source netip.Addr
}

// KeyOf returns the key of a request: its topmost branch, sent-by and method,
// where an ACK has the key of its INVITE. A branch that lacks the cookie, or is
// nothing more (RFC 4475 §3.2.1), identifies nobody: then all that RFC 2543
// compares is the key, but the To tag, which in an ACK is the answer's.
//
// The address of from, not its port, is part of the key: phones of one make that
// start together count their branches alike. A zero from leaves it out, for
// peers that send from several addresses.
//
// ok is false for a response and for a request without what the key needs.
func KeyOf(m *message.Message, from netip.AddrPort) (Key, bool) {
	method := m.Method
	if method == "ACK" {
		method = "INVITE"
	}
	return keyOf(m, from, method)
}

// CancelKeyOf returns the key of the INVITE that a CANCEL names (RFC 3261 §9.2);
// ok is false for anything but a CANCEL, and as in KeyOf.
func CancelKeyOf(m *message.Message, from netip.AddrPort) (Key, bool) {
	if m.Method != "CANCEL" {
		return Key{}, false
	}
	return keyOf(m, from, "INVITE")
}

func keyOf(m *message.Message, from netip.AddrPort, method string) (Key, bool) {
	if method == "" {
		return Key{}, false
	}
	for e := range m.Elems(message.Via) {
		via, err := message.ParseVia(m.Elem(e))
		if err != nil {
			return Key{}, false
		}
		k := Key{
			host:   strings.ToLower(via.Host),
			method: method,
			port:   via.Port,
			source: from.Addr().Unmap(),
		}
		branch, _ := message.Param(via.Params, "branch")
		if len(branch) > len(Cookie) && message.EqualFold(branch[:len(Cookie)], Cookie) {
			k.id = branch
			return k, true
		}
		id, ok := oldID(m, m.Elem(e))
		k.id = id
		return k, ok
	}
	return Key{}, false
}

// oldID joins what RFC 2543 elements compare (RFC 3261 §17.2.3): the
// Request-URI, From tag, Call-ID, CSeq number and topmost Via.
func oldID(m *message.Message, via string) (string, bool) {
	from, err := message.ParseNameAddr(m.Get(message.From))
	n, _, ok := m.CSeq()
	callID := m.Get(message.CallID)
	if err != nil || !ok || callID == "" {
		return "", false
	}
	tag, _ := message.Param(from.Params, "tag")
	// Only the Via, which comes last, may hold a space.
	return strings.Join([]string{m.URI, tag, callID, strconv.FormatUint(uint64(n), 10), via}, " "), true
}
