package peer

import (
	"slices"
	"testing"
)

func TestSplitKeepsBytes(t *testing.T) {
	raw := "INVITE sip:a@b SIP/2.0\r\nm: <sip:a@b>\r\n ;q=1\r\nX-A: 1 ,, 2\r\n\r\nbody"
	s, ok := split(raw)
	if !ok || s.String() != raw {
		t.Errorf("got %q", s.String())
	}
	if got := s.first("Contact"); got != "<sip:a@b>\r\n ;q=1" {
		t.Errorf("folded value %q", got)
	}
	if _, ok := split("INVITE sip:a SIP/2.0\r\nno colon\r\n\r\n"); ok {
		t.Error("a line without a colon passed")
	}
}

func TestSplitList(t *testing.T) {
	got := splitList(`"a,\"b" <sip:x;y,z@h>;p="1,2" ,<sip:c>`, ',')
	want := []string{`"a,\"b" <sip:x;y,z@h>;p="1,2"`, "<sip:c>"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestNameAddr(t *testing.T) {
	cases := []struct{ in, display, uri, params string }{
		{`<sip:a@b;x=1>;q=1`, "", "sip:a@b;x=1", ";q=1"},
		{`"<;\"" <sip:a@b> ; expires = 60`, `"<;\""`, "sip:a@b", "; expires = 60"},
		{`sip:a@b;q=1`, "", "sip:a@b", ";q=1"},
		{`Bob <sip:b@c>`, "Bob", "sip:b@c", ""},
	}
	for _, c := range cases {
		d, u, p := nameAddr(c.in)
		if d != c.display || u != c.uri || p != c.params {
			t.Errorf("%s: %q %q %q", c.in, d, u, p)
		}
	}
	if v, ok := param("; expires = 60", "Expires"); !ok || v != "60" {
		t.Errorf("expires %q", v)
	}
}

// RFC 3261 §19.1.4 lists these pairs.
func TestSameURI(t *testing.T) {
	equal := [][2]string{
		{"sip:alice@AtLanTa.CoM;Transport=tcp", "sip:alice@AtlanTa.CoM;transport=tcp"},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on"},
		{"sip:alice@h;a=1;b=2", "SIP:alice@H;B=2;A=1"},
	}
	different := [][2]string{
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"},
		{"sip:bob@biloxi.com", "sips:bob@biloxi.com"},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next"},
	}
	for _, p := range equal {
		if !sameURI(p[0], p[1]) || !sameURI(p[1], p[0]) {
			t.Errorf("%s and %s are equal", p[0], p[1])
		}
	}
	for _, p := range different {
		if sameURI(p[0], p[1]) || sameURI(p[1], p[0]) {
			t.Errorf("%s and %s differ", p[0], p[1])
		}
	}
}

// The vectors of RFC 7616 §3.9.1 and RFC 2617 §3.5.
func TestDigest(t *testing.T) {
	d := digest{
		qop: "auth", user: "Mufasa", realm: "http-auth@example.org", password: "Circle of Life",
		nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc: "00000001",
		cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", method: "GET", uri: "/dir/index.html",
	}
	for algorithm, want := range map[string]string{
		"md5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
		"AKAv1":   "",
	} {
		d.algorithm = algorithm
		if got := d.response(); got != want {
			t.Errorf("%s: %s", algorithm, got)
		}
	}
	old := digest{
		qop: "auth", user: "Mufasa", realm: "testrealm@host.com", password: "Circle Of Life",
		nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093", nc: "00000001", cnonce: "0a4f113b", method: "GET", uri: "/dir/index.html",
	}
	if got := old.response(); got != "6629fae49393a05397450978507c4ef1" {
		t.Errorf("RFC 2617: %s", got)
	}
	old.ha1, old.password = HA1("Mufasa", "testrealm@host.com", "Circle Of Life"), ""
	if got := old.response(); got != "6629fae49393a05397450978507c4ef1" {
		t.Errorf("from HA1: %s", got)
	}
}

func TestStream(t *testing.T) {
	cases := []struct {
		in       string
		accepted bool
		what     chunk
		size     int
	}{
		{"\r", true, more, 0},
		{"\r\n", true, more, 0},
		{"\r\n\r", true, more, 0},
		{"\r\n\r\n", true, ping, 4},
		{"\r\nINVITE", true, blank, 2},
		{"\r\n", false, pong, 2},
		{"A b SIP/2.0\r\nl: 3\r\n\r\nab", true, more, 0},
		{"A b SIP/2.0\r\nl: 3\r\n\r\nabcd", true, message, 24},
		{"A b SIP/2.0\r\nx: 3\r\n\r\nabcd", true, broken, 0},
		{"A b SIP/2.0\r\nl: -3\r\n\r\n", true, broken, 0},
	}
	for _, c := range cases {
		if what, size := next([]byte(c.in), c.accepted); what != c.what || size != c.size {
			t.Errorf("%q: %d, %d bytes", c.in, what, size)
		}
	}
}
