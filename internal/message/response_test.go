package message

import (
	"strings"
	"testing"
)

func TestAppendResponse(t *testing.T) {
	const raw = "INVITE sip:bob@b SIP/2.0\r\n" +
		"v:  SIP/2.0/UDP a;branch=z9hG4bK1 , SIP/2.0/TCP b\r\nSubject: x\r\nvia : SIP / 2.0 / UDP\r\n c;x\r\n" +
		"CSeq:  7\r\n INVITE\r\ni:x@y \r\nFROM: \"A\" <sip:a@a>;tag=1\r\nt: <sip:b@b>;x \r\nContact: <sip:a@a>\r\nl: 4\r\n\r\nbody"
	m := mustParse(t, raw)
	const want = "before SIP/2.0 404 Not Found\r\n" +
		"v:  SIP/2.0/UDP a;branch=z9hG4bK1 , SIP/2.0/TCP b\r\nvia : SIP / 2.0 / UDP\r\n c;x\r\n" +
		"FROM: \"A\" <sip:a@a>;tag=1\r\nt: <sip:b@b>;x;tag=T \r\ni:x@y \r\nCSeq:  7\r\n INVITE\r\n" +
		"Warning: 399 x \"y\"\r\nServer: s\r\nContent-Length: 0\r\n\r\n"
	got := string(m.AppendResponse([]byte("before "), 404, "Not Found", "T", "Warning: 399 x \"y\"", "Server: s"))
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := Parse(got[len("before "):], Stream); err != nil {
		t.Error(err)
	}
	got = string(m.AppendResponseVia(nil, "Via: 1\r\nVia: 2\r\n", 100, "Trying", ""))
	if !strings.HasPrefix(got, "SIP/2.0 100 Trying\r\nVia: 1\r\nVia: 2\r\nFROM") || !strings.Contains(got, "\r\nt: <sip:b@b>;x \r\n") {
		t.Errorf("got %q", got)
	}
}

func TestAppendResponseTag(t *testing.T) {
	for to, want := range map[string]string{
		"<sip:a@b>": "<sip:a@b>;tag=T", "sip:a@b;x": "sip:a@b;x;tag=T", "<sip:a@b;tag=uri>": "<sip:a@b;tag=uri>;tag=T",
		"<sip:a@b>;TAG=1": "<sip:a@b>;TAG=1", "<sip:a@b>;x=\";tag=1\"": "<sip:a@b>;x=\";tag=1\";tag=T", "<sip:a@b>\r\n ; tag = 1": "<sip:a@b>\r\n ; tag = 1",
		"\"open <sip:a@b>": "\"open <sip:a@b>",
	} {
		m, _ := Parse(request("To: "+to), Datagram)
		if got := string(m.AppendResponse(nil, 400, "x", "T")); !strings.Contains(got, "\r\nTo: "+want+"\r\n") {
			t.Errorf("%q: %q", to, got)
		}
	}
}

func TestAppendResponseToBroken(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{
			"insufficient", readVector(t, "rfc4475/insuf.dat"),
			"SIP/2.0 400 Missing From\r\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf\r\nCSeq: 193942 INVITE\r\nContent-Length: 0\r\n\r\n",
		},
		{
			"duplicates", readVector(t, "rfc4475/multi01.dat"),
			"SIP/2.0 400 Duplicate From\r\nVia: SIP/2.0/UDP 192.0.2.25;branch=z9hG4bKkdjuw\r\nFrom: sip:caller@example.com;tag=3413415\r\n" +
				"To: sip:user@example.com;tag=T\r\nCall-ID: multi01.98asdh@192.0.2.1\r\nCSeq: 5 INVITE\r\nContent-Length: 0\r\n\r\n",
		},
		{
			"line ends", "A a:b SIP/2.0\nVia: SIP/2.0/UDP h\n ;x\nCall-ID: a\rb\r\nCSeq: 1 A\x00\r\nFrom: x\n\n",
			"SIP/2.0 400 Bad Line End\r\nVia: SIP/2.0/UDP h  ;x\r\nFrom: x\r\nCall-ID: a b\r\nCSeq: 1 A \r\nContent-Length: 0\r\n\r\n",
		},
		{
			"one line end", "A a:b SIP/2.0\r\nVia:SIP/2.0/UDP h\r\nFrom:x\nCall-ID:y\r\nCSeq: 1 A\r\n\r\n",
			"SIP/2.0 400 Bad Line End\r\nVia:SIP/2.0/UDP h\r\nFrom:x\r\nCall-ID:y\r\nCSeq: 1 A\r\nContent-Length: 0\r\n\r\n",
		},
		{"nothing", "", "SIP/2.0 400 No Start Line\r\nContent-Length: 0\r\n\r\n"},
	} {
		m, err := Parse(c.raw, Datagram)
		if err == nil {
			t.Fatalf("%s: accepted", c.name)
		}
		if got := string(m.AppendResponse(nil, 400, err.(*Error).Reason, "T")); got != c.want {
			t.Errorf("%s: got\n%q, want\n%q", c.name, got, c.want)
		}
	}
}

func TestAppendResponseRefusesLines(t *testing.T) {
	m := mustParse(t, request())
	for _, bad := range []string{"x\r\nEvil: 1", "x\nEvil: 1", "x\rEvil: 1", "x\x00"} {
		got := string(m.AppendResponse(nil, 500, bad, bad, bad, "", "Good: 1"))
		want := "SIP/2.0 500 \r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n" +
			"Good: 1\r\nContent-Length: 0\r\n\r\n"
		if got != want {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

func TestAppendResponseAllocations(t *testing.T) {
	m := mustParse(t, benchInvite)
	dst := make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() { dst = m.AppendResponse(dst[:0], 100, "Trying", "tag", "Server: x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
