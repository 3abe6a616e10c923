//go:build docker

package docker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/url"
	"regexp"
	"slices"
)

// lanForms are the ways to write an address of the LAN, 192.168.77.0/24.
var lanForms = regexp.MustCompile(`(?i)\b192[._-]168[._-]77[._-]\d{1,3}\b|\b(0x)?c0a84d[0-9a-f]{2}\b|:c0a8:4d[0-9a-f]{2}\b`)

// credentials are covered by a digest, so that nobody may change them: what a
// phone writes there is its own affair (design §1.1).
var credentials = regexp.MustCompile(`(?im)^((?:proxy-)?authorization:).*$`)

// leaks returns what names an address of the LAN in one payload outside.
func leaks(where string, payload []byte) []string {
	var out []string
	if len(payload) >= 20 && binary.BigEndian.Uint32(payload[4:]) == 0x2112a442 { // STUN: bare, and hidden by the cookie
		for _, pattern := range [][]byte{{192, 168, 77}, {192 ^ 0x21, 168 ^ 0x12, 77 ^ 0xa4}} {
			if bytes.Contains(payload[20:], pattern) {
				out = append(out, fmt.Sprintf("%s: STUN %x", where, payload))
			}
		}
		return out
	}
	if isRTP(payload) {
		return nil
	}
	text := credentials.ReplaceAllString(string(payload), "$1")
	for { // also what was escaped twice
		plain, err := url.PathUnescape(text)
		if err != nil || plain == text {
			break
		}
		text = plain
	}
	for _, at := range lanForms.FindAllStringIndex(text, -1) {
		out = append(out, fmt.Sprintf("%s: …%s…", where, text[max(0, at[0]-40):min(len(text), at[1]+20)]))
	}
	return out
}

// leaks scans all that passed outside the LAN's router, and what came to the
// provider, decrypted; it is an error if a method did not come: a scan that
// missed something proves nothing.
func (w *World) leaks(methods ...string) ([]string, error) {
	var out []string
	for _, c := range []*Capture{w.WAN, w.Carrier} {
		for _, s := range streams(c.since(0)) {
			out = append(out, leaks(fmt.Sprintf("%v > %v", s.Src, s.Dst), s.Payload)...)
		}
	}
	all, err := w.Provider.Received()
	if err != nil {
		return nil, err
	}
	var seen []string
	for _, m := range all {
		if m.Src == w.wan {
			seen = append(seen, m.Method())
			out = append(out, leaks("the provider got "+m.Method(), []byte(m.Raw))...)
		}
	}
	for _, want := range methods {
		if !slices.Contains(seen, want) {
			return nil, fmt.Errorf("scanning for leaks: no %s came, only %v", want, seen)
		}
	}
	return out, nil
}

// assertNoLeaks demands that nothing outside names an address of the LAN.
func (w *World) assertNoLeaks(methods ...string) {
	w.t.Helper()
	var found []string
	w.eventually("the provider has written all messages", patience, func() (err error) {
		found, err = w.leaks(methods...)
		return err
	})
	for _, l := range found {
		w.t.Errorf("leak: %s", l)
	}
}

// assertUntouched demands that what Pinhole says to the provider on port 5060
// leaves the router as it came, whatever the router's ALG thinks of it.
func (w *World) assertUntouched() {
	w.t.Helper()
	port := uint16(5060)
	if w.Upstream == "tls" {
		port = 5061
	}
	from := func(c *Capture, src string) (out []string) {
		for _, s := range streams(c.since(0)) {
			if s.Src.Addr().String() == src && s.Dst.Addr().String() == providerWAN && s.Dst.Port() == port {
				out = append(out, string(s.Payload))
			}
		}
		return out
	}
	w.eventually("what Pinhole sends leaves the router unchanged", patience, func() error {
		inside, outside := from(w.LAN, pinholeLAN), from(w.WAN, w.wan)
		if len(inside) == 0 || len(inside) != len(outside) {
			return fmt.Errorf("%d datagrams or streams came, %d left", len(inside), len(outside))
		}
		for i, text := range inside {
			if same := commonPrefix(text, outside[i]); same < len(text) || same < len(outside[i]) {
				start := max(0, same-60)
				return fmt.Errorf("number %d: %.160q left as %.160q", i, text[start:], outside[i][start:])
			}
		}
		return nil
	})
}

// commonPrefix is how many bytes are the same.
func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
