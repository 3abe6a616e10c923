package rewrite

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestSDPGolden reads testdata/sdp-*.txtar: in.sdp, how it is rewritten, the
// streams as read, out.sdp. Lines end in LF there and in CRLF in the body,
// unless the rewriting says "eol lf"; "eol none" cuts the last one.
func TestSDPGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/sdp-*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			testSDPGolden(t, file)
		})
	}
}

func testSDPGolden(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := readCase(t, ar)
	s, err := ParseSDP(c.in)
	if err != nil {
		t.Fatal(err)
	}
	var streams strings.Builder
	for _, st := range s.Streams {
		fmt.Fprintf(&streams, "%s %s port %d/%d host %q addr %v rtcp %v %d mux %t relayable %t %s hold %t payloads %v mid %q\n",
			st.Media, st.Proto, st.Port, st.Ports, st.Host, st.Addr, st.RTCP.Addr(), st.RTCP.Port(), st.Mux, st.Relayable, st.Direction, st.Hold, st.Payloads, st.MID)
	}
	for len(c.addrs) < len(s.Streams) {
		c.addrs = append(c.addrs, StreamAddr{})
	}
	out, err := s.Rewrite(c.addrs, c.options)
	if err != nil {
		t.Fatal(err)
	}
	compareFile(t, ar, "streams", streams.String())
	compareFile(t, ar, "out.sdp", c.fold(t, out))
	if *update {
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := ParseSDP(out); err != nil {
		t.Errorf("parsing what was written: %v", err)
	} else if c.options.ICE != "pass" {
		if twice, err := again.Rewrite(c.addrs, c.options); err != nil || twice != out {
			t.Errorf("rewriting again: %v\n%s\nfirst:\n%s", err, twice, out)
		}
	}
}

// A sdpCase is one golden file.
type sdpCase struct {
	in      string
	eol     string // lf, none, or crlf
	addrs   []StreamAddr
	options SDPOptions
}

// fold brings a rewritten body back to lines that end in LF.
func (c *sdpCase) fold(t *testing.T, body string) string {
	switch c.eol {
	case "lf":
		if strings.Contains(body, "\r") {
			t.Errorf("a CR came in: %q", body)
		}
		return body
	case "none":
		if strings.HasSuffix(body, "\n") {
			t.Errorf("a last line end came in: %q", body)
		}
		body += "\r\n"
	}
	lf := strings.ReplaceAll(body, "\r\n", "\n")
	if strings.Count(lf, "\n") != strings.Count(body, "\r\n") {
		t.Errorf("mixed line ends: %q", body)
	}
	return lf
}

func readCase(t *testing.T, ar *txtar.Archive) *sdpCase {
	c := &sdpCase{eol: "crlf"}
	for line := range strings.Lines(archived(ar, "rewrite")) {
		f := strings.Fields(line)
		switch f[0] {
		case "origin":
			c.options.Origin = netip.MustParseAddr(f[1])
		case "private":
			for _, a := range f[1:] {
				c.options.Private = append(c.options.Private, netip.MustParseAddr(a))
			}
		case "ice":
			c.options.ICE = f[1]
		case "normalise":
			c.options.Normalise = true
		case "stream":
			c.addrs = append(c.addrs, streamAddr(t, f[1:]))
		case "eol":
			c.eol = f[1]
		default:
			t.Fatalf("unknown %q", line)
		}
	}
	c.in = archived(ar, "in.sdp")
	if c.eol != "lf" {
		c.in = strings.ReplaceAll(c.in, "\n", "\r\n")
	}
	if c.eol == "none" {
		c.in = strings.TrimSuffix(c.in, "\r\n")
	}
	return c
}

// streamAddr reads "-", "RTP" or "RTP RTCP"; "+1" is the next port.
func streamAddr(t *testing.T, f []string) (a StreamAddr) {
	if f[0] == "-" {
		return a
	}
	a.RTP = netip.MustParseAddrPort(f[0])
	switch {
	case len(f) == 1:
	case f[1] == "+1":
		a.RTCP = netip.AddrPortFrom(a.RTP.Addr(), a.RTP.Port()+1)
	default:
		a.RTCP = netip.MustParseAddrPort(f[1])
	}
	return a
}

func archived(ar *txtar.Archive, name string) string {
	for _, f := range ar.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// compareFile compares with a file of the archive, or puts it there.
func compareFile(t *testing.T, ar *txtar.Archive, name, got string) {
	if !*update {
		if want := archived(ar, name); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
		return
	}
	for i := range ar.Files {
		if ar.Files[i].Name == name {
			ar.Files[i].Data = []byte(got)
			return
		}
	}
	ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(got)})
}

func TestSDPErrors(t *testing.T) {
	head := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
	for name, body := range map[string]string{
		"empty":             "",
		"not sdp":           "hello",
		"blank first":       "\r\n" + head,
		"media incomplete":  head + "m=audio 4000\r\n",
		"port no number":    head + "m=audio x RTP/AVP 0\r\n",
		"port too high":     head + "m=audio 65536 RTP/AVP 0\r\n",
		"no pairs":          head + "m=audio 4000/0 RTP/AVP 0\r\n",
		"pairs no number":   head + "m=audio 4000/x RTP/AVP 0\r\n",
		"lone CR":           head + "a=x\rm=audio 4000 RTP/AVP 0\r\n",
		"two CR":            head + "m=audio 4000 RTP/AVP 0\r\r\n",
		"NUL":               head + "a=\x00\r\n",
		"a line too many":   head + strings.Repeat("a=x\r\n", maxSDPLines-3),
		"a stream too many": head + strings.Repeat("m=audio 4000 RTP/AVP 0\r\n", maxSDPStreams+1),
	} {
		if _, err := ParseSDP(body); err == nil || !strings.HasPrefix(err.Error(), "parsing sdp: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for name, body := range map[string]string{
		"lines":   head + strings.Repeat("a=x\r\n", maxSDPLines-4),
		"streams": head + strings.Repeat("m=audio 4000 RTP/AVP 0\r\n", maxSDPStreams),
	} {
		if _, err := ParseSDP(body); err != nil {
			t.Errorf("%s at their bound: %v", name, err)
		}
	}
	s, err := ParseSDP(head + "m=audio 4000 RTP/AVP 0\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rewrite(nil, SDPOptions{}); err == nil {
		t.Error("no error for a missing address")
	}
	if _, err := s.Rewrite([]StreamAddr{{RTP: netip.MustParseAddrPort("192.0.2.1:0")}}, SDPOptions{}); err == nil {
		t.Error("no error for port 0")
	}
}

// TestSDPBytes are the odd line ends that a golden file cannot show.
func TestSDPBytes(t *testing.T) {
	relay := []StreamAddr{{RTP: netip.MustParseAddrPort("203.0.113.7:20400"), RTCP: netip.MustParseAddrPort("203.0.113.7:30001")}}
	for name, c := range map[string]struct{ in, out string }{
		"mixed line ends": {
			"v=0\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\nm=audio 4000 RTP/AVP 0\nc=IN IP4 10.0.0.1\r\na=x\n",
			"v=0\no=- 1 1 IN IP4 203.0.113.7\r\ns=-\nm=audio 20400 RTP/AVP 0\nc=IN IP4 203.0.113.7\r\na=rtcp:30001\r\na=x\n",
		},
		"last line cut, lines added behind it": {
			"v=0\r\ns=-\r\nm=audio 4000 RTP/AVP 0",
			"v=0\r\ns=-\r\nm=audio 20400 RTP/AVP 0\r\nc=IN IP4 203.0.113.7\r\na=rtcp:30001",
		},
		"half a line end": {
			"v=0\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r",
			"v=0\r\ns=-\r\nm=audio 20400 RTP/AVP 0\r\nc=IN IP4 203.0.113.7\r\na=rtcp:30001\r",
		},
		"last line cut and removed": {
			"v=0\ns=-\nm=audio 4000 RTP/AVP 0\nc=IN IP4 10.0.0.1\na=rtcp:9\na=ice-lite",
			"v=0\ns=-\nm=audio 20400 RTP/AVP 0\nc=IN IP4 203.0.113.7\na=rtcp:30001",
		},
		"blank lines at the end": {
			"v=0\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n\r\n\r\n",
			"v=0\r\ns=-\r\nc=IN IP4 203.0.113.7\r\nm=audio 20400 RTP/AVP 0\r\na=rtcp:30001\r\n\r\n\r\n",
		},
		"blanks and odd lines": {
			"v=0 \r\n junk\r\nc=IN  IP4\t10.0.0.1 \r\nm=audio \t 4000/2  RTP/AVP  0 \r\na=rtcp:4001\r\na=\r\n=\r\n",
			"v=0 \r\n junk\r\nc=IN IP4 203.0.113.7\r\nm=audio \t 20400  RTP/AVP  0 \r\na=rtcp:30001\r\na=\r\n=\r\n",
		},
	} {
		s, err := ParseSDP(c.in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := s.Rewrite(relay, SDPOptions{Origin: relay[0].RTP.Addr()})
		if err != nil || got != c.out {
			t.Errorf("%s: %v\n%q, want\n%q", name, err, got, c.out)
		}
	}
}

func TestSDPScrub(t *testing.T) {
	c := newScrubber(SDPOptions{
		Origin: netip.MustParseAddr("203.0.113.7"),
		Private: []netip.Addr{
			netip.MustParseAddr("192.168.1.5"),
			netip.MustParseAddr("::ffff:10.0.0.1"),
			netip.MustParseAddr("fd00::1"),
			netip.MustParseAddr("fe80::1%eth0"),
		},
	}, nil)
	for in, want := range map[string]string{
		"":                                     "",
		"s=call":                               "s=call",
		"s=192.168.1.5":                        "s=203.0.113.7",
		"s=192.168.1.50 1192.168.1.5":          "s=192.168.1.50 1192.168.1.5",
		"s=192.168.1.55 192.168.1.5 10.0.0.1":  "s=192.168.1.55 203.0.113.7 203.0.113.7",
		"a=path:msrp://192.168.1.5:2855/x;tcp": "a=path:msrp://203.0.113.7:2855/x;tcp",
		"a=x:::ffff:192.168.1.5":               "a=x:::ffff:203.0.113.7",
		"u=http://[fd00::1]:80/":               "u=http://[::]:80/",
		"u=http://%5Bfd00::1%5D/":              "u=http://%5B::%5D/",
		"u=FD00:0:0:0:0:0:0:1":                 "u=::",
		"u=fd00:0:0::0.0.0.1, fd00::1.":        "u=::, ::.",
		"i=interface:fd00::1":                  "i=interface:::",
		"i=fd00::11 fd00::1:5060 afd00::1":     "i=fd00::11 :::5060 afd00::1",
		"i=fe80::1%25eth0":                     "i=::%25eth0",
		"a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB": "a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB",
	} {
		if got := c.scrub(in); got != want {
			t.Errorf("scrub(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzSDP holds what must be true of every body that is read.
func FuzzSDP(f *testing.F) {
	files, _ := filepath.Glob("testdata/sdp-*.txtar")
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archived(ar, "in.sdp"), true)
		f.Add(strings.ReplaceAll(archived(ar, "in.sdp"), "\n", "\r\n"), false)
	}
	private := netip.MustParseAddr("192.168.1.50")
	relay := StreamAddr{RTP: netip.MustParseAddrPort("203.0.113.7:20400"), RTCP: netip.MustParseAddrPort("203.0.113.7:30001")}
	f.Fuzz(func(t *testing.T, body string, normalise bool) {
		s, err := ParseSDP(body)
		if err != nil {
			return
		}
		addrs := make([]StreamAddr, len(s.Streams))
		for i := range addrs {
			addrs[i] = relay
		}
		o := SDPOptions{Origin: relay.RTP.Addr(), Private: []netip.Addr{private}, Normalise: normalise}
		out, err := s.Rewrite(addrs, o)
		if err != nil {
			t.Fatal(err)
		}
		checkRewritten(t, s, out, normalise)
		if pass, err := s.Rewrite(addrs, SDPOptions{Origin: o.Origin, ICE: "pass"}); err != nil || pass != body {
			t.Errorf("ice=pass changed %q to %q", body, pass)
		}
	})
}

func checkRewritten(t *testing.T, s *SDP, out string, normalise bool) {
	if c := newScrubber(SDPOptions{Private: []netip.Addr{netip.MustParseAddr("192.168.1.50")}}, nil); c.scrub(out) != out {
		t.Errorf("a private address stays in %q", out)
	}
	again, err := ParseSDP(out)
	if err != nil {
		if strings.Contains(err.Error(), strconv.Itoa(maxSDPLines)) {
			return // lines were added to a body at the limit
		}
		t.Fatalf("%v in %q", err, out)
	}
	if again.ICE || len(again.Streams) != len(s.Streams) {
		t.Fatalf("ICE %t, %d streams, want %d", again.ICE, len(again.Streams), len(s.Streams))
	}
	for i, st := range again.Streams {
		was := s.Streams[i]
		switch {
		case st.Media != was.Media && !strings.Contains(was.Media, "192.168.1.50"), (st.Port == 0) != (was.Port == 0),
			st.Relayable != was.Relayable, st.Addr.IsUnspecified() != was.Addr.IsUnspecified():
			t.Errorf("stream %d was %+v, is %+v", i, was, st)
		case normalise && (!st.Addr.Is4() || st.Port > 0 && st.Port < 1024):
			t.Errorf("stream %d is not normal: %+v", i, st)
		case was.Relayable && !was.Addr.IsUnspecified() && (st.Addr.String() != "203.0.113.7" || st.Port != 20400):
			t.Errorf("stream %d is not relayed: %+v", i, st)
		}
	}
}
