package rewrite

import (
	"net/netip"
	"strings"
	"testing"

	"pinhole/internal/message"
)

var lan = []netip.Addr{netip.MustParseAddr("192.168.1.10"), netip.MustParseAddr("fd00::10")}

// An address goes up opaque and comes back as it was, wherever it stood.
func TestHideAndReveal(t *testing.T) {
	h := NewHider([]byte("key"))
	for _, s := range []string{
		"a84b4c76e66710@192.168.1.10",
		"192.168.1.10",
		"x-192.168.1.10:5060-y",
		"call@[fd00::10]",
		"<sip:b@x?Replaces=call%40192.168.1.10%3Bto-tag%3D1>",
		"one 192.168.1.10 two 192.168.1.10",
		"call-192.168.1.10.5060-1",
	} {
		hidden := h.Hide(s, lan)
		if strings.Contains(hidden, "192.168") || strings.Contains(hidden, "fd00") {
			t.Errorf("%q shows the LAN: %q", s, hidden)
		}
		if got := h.Reveal(hidden); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
	}
}

func TestHideEscaped(t *testing.T) {
	h := NewHider([]byte("key"))
	got := h.Hide("<sip:b@x?Replaces=c%40192%2E168%2e1%2E10>;x=192%2E168%2E1%2E10", lan)
	if strings.Contains(got, "192%2E168%2E1%2E10") {
		t.Errorf("left: %s", got)
	}
}

// A longer number that holds the address is another address.
func TestHideWholeAddressesOnly(t *testing.T) {
	h := NewHider([]byte("key"))
	for _, s := range []string{"192.168.1.100", "1192.168.1.10", "1.192.168.1.10", "192.168.1.10.5"} {
		if got := h.Hide(s, lan); got != s {
			t.Errorf("%s became %s", s, got)
		}
	}
	if got := h.Hide("at 192.168.1.10.", lan); strings.Contains(got, "192.168") {
		t.Errorf("an address before a full stop stayed: %s", got)
	}
}

// What looks like ours and is not passes.
func TestRevealForged(t *testing.T) {
	h := NewHider([]byte("key"))
	for _, s := range []string{"pnh4", "pnh40000000000000000", "pnh9x", "pnhpnh", "apnh4zz00000000000000"} {
		if got := h.Reveal(s); got != s {
			t.Errorf("%s became %s", s, got)
		}
	}
	other := NewHider([]byte("other")).Opaque(lan[0])
	if got := h.Reveal(other); got != other {
		t.Errorf("another installation's form was opened: %s", got)
	}
}

func TestHideHeaders(t *testing.T) {
	const in = "INVITE sip:b@example.com SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK1\r\n" +
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n" +
		"Call-ID: x@192.168.1.10\r\nCSeq: 1 INVITE\r\n" +
		"Warning: 399 192.168.1.10 \"x\"\r\n" +
		"Authorization: Digest username=\"192.168.1.10\"\r\n" +
		"X-Proxy: 192.168.1.2:5060, 192.168.1.2\r\n" +
		"Content-Length: 0\r\n\r\n"
	m, err := message.Parse(in, message.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHider([]byte("key"))
	var e message.Edits
	h.HideHeaders(m, &e, Veil{
		Phone: lan[:1], Own: []netip.Addr{netip.MustParseAddr("192.168.1.2")},
		Local: netip.MustParseAddrPort("192.168.1.2:5060"), Mapped: netip.MustParseAddrPort("203.0.113.2:40000"),
	})
	opaque := h.Opaque(lan[0])
	want := strings.NewReplacer(
		"x@192.168.1.10", "x@"+opaque,
		"399 192.168.1.10", "399 "+opaque,
		"192.168.1.2:5060, 192.168.1.2", "203.0.113.2:40000, 203.0.113.2",
	).Replace(in)
	if got := string(e.Append(nil, m)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzHide(f *testing.F) {
	f.Add("a84b4c76e66710@192.168.1.10")
	f.Add("pnh4")
	h := NewHider([]byte("key"))
	f.Fuzz(func(t *testing.T, s string) {
		hidden := h.Hide(s, lan[:1])
		if nextAddr(hidden, "192.168.1.10", 0) >= 0 {
			t.Errorf("%q shows the LAN: %q", s, hidden)
		}
		if h.Reveal(s) == s && !strings.Contains(s, "%2") && h.Reveal(hidden) != s {
			t.Errorf("%q came back as %q", s, h.Reveal(hidden))
		}
	})
}

// Any phone's address is hidden, not the sender's alone.
func TestHidePrefix(t *testing.T) {
	h := NewHider([]byte("key"))
	prefix := netip.MustParsePrefix("192.168.1.0/24")
	for _, row := range []struct {
		in     string
		hidden bool
	}{
		{"x@192.168.1.77", true},
		{"192.168.1.77", true},
		{"a=192%2e168%2E1%2E77&b", true},
		{"(192.168.1.77:5060)", true},
		{"192.168.2.77", false},
		{"1192.168.1.77", false},
		{"192.168.1.777", false},
		{"192.168.1", false},
		{"1.2.192.168.1.77", false},
	} {
		got := h.Hide(row.in, nil, prefix)
		if (got != row.in) != row.hidden {
			t.Errorf("%s became %s", row.in, got)
		}
	}
	if got := h.Reveal(h.Hide("x@192.168.1.77", nil, prefix)); got != "x@192.168.1.77" {
		t.Errorf("came back as %s", got)
	}
}
