package rewrite

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"

	"pinhole/internal/message"
)

// A Hider turns the textual addresses of the LAN into an opaque form and back.
// The form needs no table: it is the address encrypted under the key, so that a
// Call-ID means the same dialog after a restart, in Replaces and in Refer-To.
// It is a run of [a-z0-9] and so fits wherever an address stood. A Hider is
// immutable and safe for concurrent use.
type Hider struct{ key []byte }

// NewHider returns a Hider under key, which must be the same for as long as
// dialogs are to be recognised.
func NewHider(key []byte) *Hider { return &Hider{key: key} }

// The opaque form: mark, family, then in hex a check of four bytes and the
// encrypted address.
const (
	hideMark  = "pnh"
	hideCheck = 4
)

// Opaque returns the opaque form of an address.
func (h *Hider) Opaque(ip netip.Addr) string {
	b := ip.AsSlice()
	check := h.sum('c', b)[:hideCheck]
	pad := h.sum('p', check)
	for i := range b {
		b[i] ^= pad[i]
	}
	family := "4"
	if len(b) == 16 {
		family = "6"
	}
	return hideMark + family + hex.EncodeToString(check) + hex.EncodeToString(b)
}

func (h *Hider) sum(kind byte, b []byte) []byte {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte{kind})
	mac.Write(b)
	return mac.Sum(nil)
}

// open decodes an opaque form at the start of s and returns the address and the
// length it takes; 0 where s starts with none of ours.
func (h *Hider) open(s string) (netip.Addr, int) {
	n := len(hideMark)
	if len(s) <= n || s[:n] != hideMark {
		return netip.Addr{}, 0
	}
	size := map[byte]int{'4': 4, '6': 16}[s[n]]
	end := n + 1 + 2*(hideCheck+size)
	if size == 0 || len(s) < end {
		return netip.Addr{}, 0
	}
	b, err := hex.DecodeString(s[n+1 : end])
	if err != nil {
		return netip.Addr{}, 0
	}
	check, addr := b[:hideCheck], b[hideCheck:]
	pad := h.sum('p', check)
	for i := range addr {
		addr[i] ^= pad[i]
	}
	if !hmac.Equal(check, h.sum('c', addr)[:hideCheck]) {
		return netip.Addr{}, 0
	}
	ip, _ := netip.AddrFromSlice(addr)
	return ip, end
}

// Hide returns s with every address of private, and every IPv4 address within
// the LAN prefixes, in its opaque form: dotted or colon form, and with its dots
// escaped as in a URI header (%2E).
func (h *Hider) Hide(s string, private []netip.Addr, lan ...netip.Prefix) string {
	for _, ip := range private {
		for _, text := range forms(s, ip) {
			if nextAddr(s, text, 0) >= 0 {
				s = replaceAddr(s, text, h.Opaque(ip))
			}
		}
	}
	for from := 0; ; {
		ip, start, end := nextIn(s, from, lan)
		if start < 0 {
			return s
		}
		opaque := h.Opaque(ip)
		s = s[:start] + opaque + s[end:]
		from = start + len(opaque)
	}
}

// Reveal returns s with every opaque form of ours turned back.
func (h *Hider) Reveal(s string) string {
	at := strings.Index(s, hideMark)
	if at < 0 {
		return s
	}
	var b strings.Builder
	for at >= 0 {
		b.WriteString(s[:at])
		s = s[at:]
		if ip, n := h.open(s); n > 0 {
			b.WriteString(ip.String())
			s = s[n:]
		} else {
			b.WriteString(hideMark)
			s = s[len(hideMark):]
		}
		at = strings.Index(s, hideMark)
	}
	b.WriteString(s)
	return b.String()
}

// forms returns the spellings of ip worth looking for in s.
func forms(s string, ip netip.Addr) []string {
	text := ip.String()
	out := []string{text}
	if strings.Contains(s, "%2") {
		out = append(out, strings.ReplaceAll(text, ".", "%2E"), strings.ReplaceAll(text, ".", "%2e"))
	}
	return out
}

// nextAddr returns where text stands in s as an address of its own, not as a
// part of a longer number; -1 if nowhere at or after from.
func nextAddr(s, text string, from int) int {
	for {
		i := strings.Index(s[from:], text)
		if i < 0 {
			return -1
		}
		start, end := from+i, from+i+len(text)
		if !addrChar(s, start-1, -1) && !addrChar(s, end, +1) {
			return start
		}
		from = end
	}
}

// addrChar reports whether the character at i continues a number in direction
// step: a digit, or a dot with up to three digits behind it (more are a port, as
// in 192.168.1.10.5060). The digits of an escape, as in %40192.168.1.10, are
// none.
func addrChar(s string, i, step int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	if step < 0 && i >= 2 && s[i-2] == '%' && isHex(s[i-1]) && isHex(s[i]) {
		return false
	}
	if s[i] >= '0' && s[i] <= '9' {
		return true
	}
	if s[i] != '.' {
		return false
	}
	digits := 0
	for j := i + step; j >= 0 && j < len(s) && s[j] >= '0' && s[j] <= '9'; j += step {
		digits++
	}
	return digits > 0 && digits <= 3
}

func replaceAddr(s, text, with string) string {
	from := 0
	for {
		at := nextAddr(s, text, from)
		if at < 0 {
			return s
		}
		s = s[:at] + with + s[at+len(text):]
		from = at + len(with)
	}
}

// covered are the headers whose bytes a digest or a signature covers, and those
// that have rules of their own.
var covered = [256]bool{
	message.Via: true, message.Contact: true,
	message.Authorization: true, message.ProxyAuthorization: true,
	message.WWWAuthenticate: true, message.ProxyAuthenticate: true, message.AuthenticationInfo: true,
	message.Identity: true, message.IdentityInfo: true,
}

// A Veil is what must not be seen upstream in one message and what stands for
// it: the LAN's addresses become opaque, our own tuple on the flow becomes the
// mapped one (an ALG turns it around on the way in, so the provider is shown
// what it sent).
type Veil struct {
	Phone  []netip.Addr   // addresses of the phone
	LAN    []netip.Prefix // where phones live; none where the provider lives there too
	Own    []netip.Addr   // addresses of ours
	Local  netip.AddrPort // of the flow
	Mapped netip.AddrPort // zero: not known, our own addresses become opaque too
}

// Hide returns s with every address of the veil replaced.
func (v Veil) Hide(h *Hider, s string) string {
	if !v.Mapped.IsValid() {
		return h.Hide(h.Hide(s, v.Own), v.Phone, v.LAN...)
	}
	s = replaceAddr(s, v.Local.String(), v.Mapped.String())
	for _, ip := range v.Own {
		for _, text := range forms(s, ip) {
			s = replaceAddr(s, text, v.Mapped.Addr().String())
		}
	}
	return h.Hide(s, v.Phone, v.LAN...)
}

// leads returns strings one of which stands in every text that holds an address
// of the veil: a quick look that spares most lines the search.
func (v Veil) leads() []string {
	leads := []string{"%2"} // a dot may be escaped
	for _, p := range v.LAN {
		leads = append(leads, lead(p))
	}
	for _, list := range [][]netip.Addr{v.Phone, v.Own} {
		for _, ip := range list {
			leads = append(leads, ip.String())
		}
	}
	return leads
}

func containsAny(s string, any []string) bool {
	for _, a := range any {
		if strings.Contains(s, a) {
			return true
		}
	}
	return false
}

// HideHeaders hides the addresses of the veil in every header line of m but those
// that digest or signatures cover, those that other functions of this package
// rewrite whole (Via, Contact) and those already edited.
func (h *Hider) HideHeaders(m *message.Message, e *message.Edits, veil Veil) {
	leads := veil.leads()
	for _, l := range m.Lines {
		v := m.Value(l)
		if covered[l.ID] || !containsAny(v, leads) {
			continue
		}
		if hidden := veil.Hide(h, v); hidden != v && !e.Touches(l) {
			e.Replace(l.ValueStart, l.ValueEnd, hidden)
		}
	}
}

// RevealHeaders turns every opaque form in the header lines of m back, with the
// same exceptions as HideHeaders.
func (h *Hider) RevealHeaders(m *message.Message, e *message.Edits) {
	if !strings.Contains(m.Raw[:m.BodyStart], hideMark) {
		return
	}
	for _, l := range m.Lines {
		if covered[l.ID] {
			continue
		}
		v := m.Value(l)
		if shown := h.Reveal(v); shown != v && !e.Touches(l) {
			e.Replace(l.ValueStart, l.ValueEnd, shown)
		}
	}
}

// Digest returns a keyed digest of a purpose, for names that must be the same
// for ever and say nothing.
func Digest(key []byte, purpose string) []byte {
	h := Hider{key: key}
	return h.sum('d', []byte(purpose))
}
