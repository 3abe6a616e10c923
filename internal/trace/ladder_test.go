package trace_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pinhole/internal/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func message(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// morning fills a ladder with a registration and a call.
func morning(l *trace.Ladder) {
	const register = "REGISTER sip:sip.example.com SIP/2.0"
	add := func(ms int, from, to, proto string, lines ...string) {
		l.Add(trace.Step{At: at(ms), From: from, To: to, Proto: proto, Raw: message(lines...)})
	}
	add(0, "phone", "pinhole", "udp", register, "CSeq: 1 REGISTER")
	add(1, "pinhole", "provider", "tls", register, "CSeq: 1 REGISTER")
	add(21, "provider", "pinhole", "tls", "SIP/2.0 401 Unauthorized", "CSeq: 1 REGISTER", `WWW-Authenticate: Digest nonce="n0nce"`)
	add(22, "pinhole", "phone", "udp", "SIP/2.0 401 Unauthorized", "CSeq: 1 REGISTER", `WWW-Authenticate: Digest nonce="n0nce"`)
	l.Note(at(22), "pinhole", "the challenge passed on, byte for byte")
	add(25, "phone", "pinhole", "udp", register, "CSeq: 2 REGISTER", `Authorization: Digest username="alice", response="5ec4e7"`)
	add(525, "phone", "pinhole", "udp", register, "CSeq: 2 REGISTER", `Authorization: Digest username="alice", response="5ec4e7"`)
	add(530, "pinhole", "phone", "udp", "SIP/2.0 200 OK", "CSeq: 2 REGISTER")
	l.Note(at(531), "", "registered: the binding is on disk, and this remark is so long that it takes a second line on every terminal")
	add(75531, "provider", "pinhole", "tls", "INVITE sip:alice@203.0.113.2:40001;transport=tls;b=k3fz0123456789ab SIP/2.0", "CSeq: 1 INVITE", "c: application/sdp")
	add(75532, "pinhole", "phone", "udp", "INVITE sip:alice:hunter2@192.168.1.20:5060?Authorization=hunter3 SIP/2.0", "CSeq: 1 INVITE", "Content-Type: application/sdp")
	add(75533, "phone", "pinhole", "udp", "SIP/2.0 486 Busy\x1b[2J Here", "CSeq: 1 INVITE")
	add(75534, "phone", "provider", "", "OPTIONS sip:x SIP/2.0", "CSeq: 7 OPTIONS")
	add(75535, "pinhole", "pinhole", "", "OPTIONS sip:x SIP/2.0", "CSeq: 8 OPTIONS")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s\nwant:\n%s", name, got, want)
	}
}

func TestLadder(t *testing.T) {
	for name, style := range map[string]trace.Style{
		"80": {Width: 80}, "100": {}, "120": {Width: 120}, "colour": {Width: 80, Colour: true}, "narrow": {Width: 10},
	} {
		t.Run(name, func(t *testing.T) {
			l := trace.New("phone", "pinhole", "provider")
			morning(l)
			var b strings.Builder
			if err := l.Print(&b, style); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.String())
			width := max(style.Width, 60)
			if style.Width == 0 {
				width = 100
			}
			for line := range strings.Lines(b.String()) {
				if n := len([]rune(line)) - 1; n > width && !style.Colour {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			for _, secret := range []string{"5ec4e7", "n0nce", "hunter2", "hunter3", "\x1b[2J"} {
				if strings.Contains(b.String(), secret) {
					t.Errorf("%q was printed", secret)
				}
			}
		})
	}
}

// Print shows each step once, in order of time; String shows all.
func TestPrintGoesOn(t *testing.T) {
	l := trace.New("a", "b")
	step := func(ms int, what string) {
		l.Add(trace.Step{At: at(ms), From: "a", To: "b", Raw: message(what+" sip:b SIP/2.0", "CSeq: 1 "+what)})
	}
	var first, second strings.Builder
	step(2, "SECOND")
	step(1, "FIRST")
	if err := l.Print(&first, trace.Style{Width: 60}); err != nil {
		t.Fatal(err)
	}
	step(3, "THIRD")
	if err := l.Print(&second, trace.Style{Width: 60}); err != nil {
		t.Fatal(err)
	}
	one, two := strings.Index(first.String(), "FIRST"), strings.Index(first.String(), "SECOND")
	if one < 0 || two < one {
		t.Errorf("not in order:\n%s", first.String())
	}
	if strings.Contains(second.String(), "FIRST") || strings.Count(second.String(), "\n") != 1 {
		t.Errorf("printed twice:\n%s", second.String())
	}
	if all := l.String(); strings.Count(all, "\n") != 4 {
		t.Errorf("not all:\n%s", all)
	}
}

func TestTapNames(t *testing.T) {
	l := trace.New("phone", "pinhole")
	phone, lan := netip.MustParseAddrPort("192.168.1.20:5062"), netip.MustParseAddrPort("[::ffff:192.168.1.2]:5060")
	l.Name(netip.AddrPortFrom(phone.Addr(), 0), "phone")
	l.Name(lan, "pinhole")
	l.Tap(at(0), phone, lan, "udp", message("OPTIONS sip:x SIP/2.0", "CSeq: 1 OPTIONS"))
	l.Tap(at(1), lan, netip.MustParseAddrPort("192.0.2.1:5060"), "udp", message("OPTIONS sip:x SIP/2.0", "CSeq: 1 OPTIONS"))
	golden(t, "names", l.String())
}
