package rewrite

import (
	"os"
	"strings"
	"testing"
)

func TestSDPPart(t *testing.T) {
	const sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
	part := func(header string) string { return "--b\r\n" + header + "\r\n" + sdp + "\r\n" }
	typed := part("Content-Type: application/sdp\r\n")
	nested := func(kind, inner string) string {
		return "--o\r\nContent-Type: multipart/" + kind + ";boundary=b\r\n\r\n" + inner + "--b--\r\n--o--\r\n"
	}
	for name, c := range map[string]struct {
		contentType, encoding, body string
		want                        string // "": not found
	}{
		"whole":                  {"application/sdp", "", sdp, sdp},
		"whole, case and params": {" Application/SDP ;charset=x", " Identity ", sdp, sdp},
		"no body":                {"application/sdp", "", "", ""},
		"no type":                {"", "", sdp, ""},
		"gzip":                   {"application/sdp", "gzip", sdp, ""},
		"sipfrag":                {"message/sipfrag", "", sdp, ""},
		"pkcs7":                  {"application/pkcs7-mime", "", sdp, ""},
		"text":                   {"text/plain", "", sdp, ""},

		"mixed":       {"multipart/mixed;boundary=b", "", typed + "--b--\r\n", sdp},
		"related":     {"multipart/related; type=x; boundary=\"b\"", "", typed + "--b--\r\n", sdp},
		"alternative": {"Multipart/Alternative;\r\n Boundary = b", "", typed + "--b--", sdp},
		"signed":      {"multipart/signed;boundary=b", "", typed + "--b--\r\n", ""},
		"gzip around": {"multipart/mixed;boundary=b", "gzip", typed + "--b--\r\n", ""},
		"preamble and epilogue": {
			"multipart/mixed;boundary=b", "",
			"Content-Type: application/sdp\r\n\r\nv=1\r\n" + typed + "--b-- \r\n" + part("Content-Type: application/sdp\r\n"), sdp,
		},
		"second part": {
			"multipart/mixed;boundary=b", "",
			"--b\r\nContent-Type: application/pidf+xml\r\nContent-ID: <a@b>\r\n\r\n<x/>\r\n" + typed + "--b--\r\n", sdp,
		},
		"not closed":             {"multipart/mixed;boundary=b", "", "--b\r\nContent-Type: application/sdp\r\n\r\n" + sdp, sdp},
		"line ends LF":           {"multipart/mixed;boundary=b", "", "--b\nContent-Type:application/sdp\n\nv=0\ns=-\n--b--\n", "v=0\ns=-"},
		"empty part":             {"multipart/mixed;boundary=b", "", "--b\r\nContent-Type:application/sdp\r\n\r\n--b--\r\n", ""},
		"header alone":           {"multipart/mixed;boundary=b", "", "--b\r\nContent-Type:application/sdp\r\n--b--\r\n", ""},
		"compact and folded":     {"multipart/mixed;boundary=b", "", part("c:\r\n application/sdp\r\n") + "--b--\r\n", sdp},
		"8bit, session":          {"multipart/mixed;boundary=b", "", part("Content-Type: application/sdp\r\nContent-Transfer-Encoding: 8Bit\r\nContent-Disposition: Session;handling=required\r\n"), sdp + "\r\n"},
		"base64":                 {"multipart/mixed;boundary=b", "", part("Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n"), ""},
		"gzip inside":            {"multipart/mixed;boundary=b", "", part("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n"), ""},
		"early session":          {"multipart/mixed;boundary=b", "", part("Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n"), ""},
		"early session, session": {"multipart/mixed;boundary=b", "", part("Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n") + typed + "--b--\r\n", sdp},
		"no type inside":         {"multipart/mixed;boundary=b", "", part("Content-ID: x\r\n"), ""},

		"nested":           {"multipart/mixed;boundary=o", "", nested("alternative", typed), sdp},
		"nested, signed":   {"multipart/mixed;boundary=o", "", nested("signed", typed), ""},
		"nested too deep":  {"multipart/mixed;boundary=o", "", nested("mixed", "--b\r\nContent-Type: multipart/mixed;boundary=i\r\n\r\n--i\r\nContent-Type: application/sdp\r\n\r\n"+sdp+"--i--\r\n"), ""},
		"boundary quoted":  {`multipart/mixed;boundary="a;\b=c"`, "", "--a;b=c\r\nContent-Type: application/sdp\r\n\r\n" + sdp + "\r\n--a;b=c--", sdp},
		"boundary prefix":  {"multipart/mixed;boundary=b", "", "--bb\r\nContent-Type: application/sdp\r\n\r\n" + sdp + "--bb--\r\n", ""},
		"no boundary":      {"multipart/mixed", "", typed, ""},
		"boundary empty":   {`multipart/mixed;boundary=""`, "", typed, ""},
		"boundary open":    {`multipart/mixed;boundary="b`, "", typed, ""},
		"boundary cut":     {`multipart/mixed;boundary="b\`, "", typed, ""},
		"boundary long":    {"multipart/mixed;boundary=" + strings.Repeat("b", 71), "", typed, ""},
		"boundary blank":   {`multipart/mixed;boundary="b "`, "", typed, ""},
		"too many parts":   {"multipart/mixed;boundary=b", "", strings.Repeat("--b\r\n\r\n\r\n", maxParts) + typed, ""},
		"last of the many": {"multipart/mixed;boundary=b", "", strings.Repeat("--b\r\n\r\n\r\n", maxParts-1) + typed + "--b--", sdp},
	} {
		start, end, ok := SDPPart(c.contentType, c.encoding, c.body)
		if got := c.body[start:end]; got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %t %q, want %q", name, ok, got, c.want)
		}
	}
}

// TestSDPPartReplaced edits one part of a body: all else stays.
func TestSDPPartReplaced(t *testing.T) {
	b, err := os.ReadFile("testdata/multipart.txt")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.ReplaceAll(string(b), "\n", "\r\n")
	start, end, ok := SDPPart(`multipart/mixed;boundary="boundary1"`, "", body)
	if !ok {
		t.Fatal("no SDP found")
	}
	s, err := ParseSDP(body[start:end])
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Rewrite(make([]StreamAddr, len(s.Streams)), SDPOptions{})
	if err != nil || body[:start]+out+body[end:] != body {
		t.Errorf("%v %q", err, body[:start]+out+body[end:])
	}
	if len(s.Streams) != 1 || s.Streams[0].Port != 49172 {
		t.Errorf("streams %+v", s.Streams)
	}
}

func FuzzSDPPart(f *testing.F) {
	f.Add("multipart/mixed;boundary=b", "", "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n")
	f.Add(`multipart/related;x="a\"b";boundary="b"`, "identity", "--b\nc: multipart/mixed;\n boundary=i\n\n--i\nc:application/sdp\n\nv=0\n--i--\n--b--")
	f.Add("application/sdp", "", "v=0")
	f.Fuzz(func(t *testing.T, contentType, encoding, body string) {
		start, end, ok := SDPPart(contentType, encoding, body)
		if start < 0 || end < start || end > len(body) || ok && start == end {
			t.Errorf("%d %d %t", start, end, ok)
		}
	})
}
