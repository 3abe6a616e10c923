package rewrite

import (
	"net/netip"
	"testing"

	"pinhole/internal/message"
)

// RFC 3261 §18.2.1 and RFC 3581 §4: received when sent-by is a name or another
// address, and always with rport.
func TestReceivedVia(t *testing.T) {
	from := netip.MustParseAddrPort("192.168.1.10:40000")
	for _, row := range []struct{ in, want string }{
		{"SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK1", "SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK1"},
		{
			"SIP/2.0/UDP 192.168.1.10:5060;rport;branch=z9hG4bK1",
			"SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK1;rport=40000;received=192.168.1.10",
		},
		{"SIP/2.0/UDP phone.lan;branch=z9hG4bK1", "SIP/2.0/UDP phone.lan;branch=z9hG4bK1;received=192.168.1.10"},
		{
			"SIP/2.0/TCP 10.0.0.1;received=1.2.3.4;branch=z9hG4bK1",
			"SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1;received=192.168.1.10",
		},
	} {
		if got := receivedVia(row.in, from); got != row.want {
			t.Errorf("%s\n got %s\nwant %s", row.in, got, row.want)
		}
	}
}

func parse(t *testing.T, s string) *message.Message {
	t.Helper()
	m, err := message.Parse(s, message.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const twoVias = "OPTIONS sip:b@example.com SIP/2.0\r\n" +
	"v: SIP/2.0/UDP 192.168.1.10:5060;rport;branch=z9hG4bK1 , SIP/2.0/UDP a\r\n" +
	"Max-Forwards: 70\r\nVIA : SIP/2.0/TCP b\r\n" +
	"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n" +
	"Call-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"

// All Vias become one, and a response gets them all back.
func TestViasGoAndComeBack(t *testing.T) {
	m := parse(t, twoVias)
	var e message.Edits
	Via(m, &e, "SIP/2.0/TLS x.invalid;branch=z9hG4bK2;rport")
	up := parse(t, string(e.Append(nil, m)))
	if up.Count(message.Via) != 1 || up.Get(message.Via) != "SIP/2.0/TLS x.invalid;branch=z9hG4bK2;rport" {
		t.Errorf("went up as %s", up.Raw)
	}
	vias := ReceivedVias(m, netip.MustParseAddrPort("192.168.1.10:5060"))
	const want = "v: SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK1;rport=5060;received=192.168.1.10 , SIP/2.0/UDP a\r\n" +
		"VIA : SIP/2.0/TCP b\r\n"
	if vias != want {
		t.Errorf("got\n%swant\n%s", vias, want)
	}
	answer := parse(t, "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bK2;rport=1;received=1.2.3.4\r\n"+
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
	ip, port := SeenFrom(answer)
	if ip != netip.MustParseAddr("1.2.3.4") || port != 1 {
		t.Errorf("seen from %v %d", ip, port)
	}
	e.Reset()
	RestoreVias(answer, &e, vias)
	back := string(e.Append(nil, answer))
	if parse(t, back).Count(message.Via) != 2 {
		t.Errorf("came back as %s", back)
	}
}

func TestMaxForwards(t *testing.T) {
	const head = "OPTIONS sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
	const tail = "From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
	for _, row := range []struct {
		in, want string
		ok       bool
	}{
		{"Max-Forwards: 70\r\n", "Max-Forwards: 69\r\n", true},
		{"", "Max-Forwards: 70\r\n", true},
		{"Max-Forwards: 0\r\n", "Max-Forwards: 0\r\n", false},
		{"Max-Forwards: 300\r\n", "Max-Forwards: 70\r\n", true},
	} {
		m := parse(t, head+row.in+tail)
		var e message.Edits
		if ok := MaxForwards(m, &e); ok != row.ok {
			t.Errorf("%q: %v", row.in, ok)
		}
		if got := string(e.Append(nil, m)); got != head+row.want+tail {
			t.Errorf("%q: %s", row.in, got)
		}
	}
}

func TestRecordRoute(t *testing.T) {
	const head = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
	const tail = "From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
	own := func(u message.URI) bool { return u.Host == "192.168.1.2" }
	m := parse(t, head+"Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"+tail)
	var e message.Edits
	RecordRouteLast(m, &e, "<sip:192.168.1.2;lr>")
	got := string(e.Append(nil, m))
	if want := head + "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:192.168.1.2;lr>\r\n" + tail; got != want {
		t.Errorf("last: %s", got)
	}
	e.Reset()
	m = parse(t, got)
	RemoveRecordRoute(m, &e, own)
	if got := string(e.Append(nil, m)); got != head+"Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"+tail {
		t.Errorf("removed: %s", got)
	}
	e.Reset()
	m = parse(t, twoVias)
	RecordRouteFirst(m, &e, "<sip:192.168.1.2;lr>")
	if got := parse(t, string(e.Append(nil, m))); got.Get(message.RecordRoute) != "<sip:192.168.1.2;lr>" {
		t.Errorf("first: %s", got.Raw)
	}
}
