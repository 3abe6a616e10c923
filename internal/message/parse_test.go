package message

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseParts(t *testing.T) {
	const raw = "\r\n\r\nINVITE sip:bob@b;x SIP/2.0\r\n" +
		"Via:SIP/2.0/UDP h\r\nf : <sip:a@b>;tag=1 \r\nTO:\r\n <sip:c@d>\r\nCall-ID:\tx@y\r\n" +
		"CSeq: 0042\r\n INVITE\r\nContact: <sip:a@h>\r\nSubject:\r\nl: 4\r\n\r\nbodyrest"
	m := mustParse(t, raw)
	if m.Method != "INVITE" || m.URI != "sip:bob@b;x" || !m.IsRequest() || m.Status != 0 {
		t.Errorf("start line %q %q %d", m.Method, m.URI, m.Status)
	}
	if m.Raw != raw[4:len(raw)-4] || m.Body() != "body" {
		t.Errorf("raw %q body %q", m.Raw, m.Body())
	}
	for h, want := range map[Header]string{
		Via: "SIP/2.0/UDP h", From: "<sip:a@b>;tag=1", To: "<sip:c@d>", CallID: "x@y", CSeq: "0042\r\n INVITE", ContentLength: "4", Other: "",
	} {
		if got := m.Get(h); got != want {
			t.Errorf("%v: %q, want %q", h, got, want)
		}
	}
	if n, method, ok := m.CSeq(); n != 42 || method != "INVITE" || !ok {
		t.Errorf("CSeq %d %q %v", n, method, ok)
	}
	if l, _ := m.First(Other); l.ValueStart != l.ValueEnd || m.Raw[l.ValueEnd:l.End] != "\r\n" {
		t.Errorf("empty value at %+v", l)
	}
}

func TestParseStatusLine(t *testing.T) {
	for line, want := range map[string]string{
		"SIP/2.0 200 OK": "200|OK", "SIP/2.0 100 ": "100|", "SIP/2.0 180": "180|", "sip/2.0 699 a  b ü": "699|a  b ü",
		"SIP/2.0 99 x": "", "SIP/2.0 700 x": "", "SIP/2.0 20 OK": "", "SIP/2.0 2000 OK": "", "SIP/2.0  200 OK": "",
		"SIP/3.0 200 OK": "", "SIP/2.0 4294967301 x": "", "SIP/2.0": "", "SIP/2.0 2x0 OK": "", "SIP/2.0 -10 OK": "",
	} {
		raw := line + strings.TrimPrefix(request(), "OPTIONS sip:c@d SIP/2.0")
		m, err := Parse(raw, Stream)
		got := ""
		if err == nil {
			got = fmt.Sprintf("%d|%s", m.Status, m.Reason)
		} else if s := describe(err); s != dropped+"Bad Status Line" {
			t.Errorf("%q: %s", line, s)
		}
		if got != want || want != "" && m.IsRequest() {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestParseRequestLine(t *testing.T) {
	for line, want := range map[string]string{
		"OPTIONS sip:c@d SIP/2.0": "", "OPTIONS sip:c@d sip/2.0": "", "OPTIONS tel:+49 SIP/2.0": "", "OPTIONS * SIP/2.0": "400 Bad Request-URI",
		"OPTIONS sip:c@d SIP/2.1": "505 Version Not Supported", "OPTIONS sip:c@d SIP/3.0": "505 Version Not Supported",
		"OPTIONS sip:c@d SIP/": "400 Bad Request Line", "OPTIONS sip:c@d SIP/2": "400 Bad Request Line", "OPTIONS sip:c@d HTTP/1.1": "400 Bad Request Line",
		"OPTIONS sip:c@d SIP/2.x": "400 Bad Request Line", "OPTIONS sip:c@d": "400 Bad Request Line", "OPTIONS": "400 Bad Request Line", "": "400 Bad Request Line",
		" OPTIONS sip:c@d SIP/2.0": "400 Bad Request Line", "OPTIONS sip:c@d SIP/2.0 ": "400 Bad Request Line", "OPTIONS\tsip:c@d SIP/2.0": "400 Bad Request Line",
		"OPT(IONS sip:c@d SIP/2.0": "400 Bad Request Line", "OPTIONS sip:c\t@d SIP/2.0": "400 Bad Request-URI", "OPTIONS sip:c@d?x=y SIP/2.0": "400 Bad Request-URI",
		"options sip:c@d SIP/2.0": "400 CSeq Method Mismatch", "OPTIONS <sip:c@d> SIP/2.0": "400 Bad Request-URI", "OPTIONS sip:c@d\x00 SIP/2.0": "400 Bad Request-URI",
	} {
		raw := line + strings.TrimPrefix(request(), "OPTIONS sip:c@d SIP/2.0")
		if line == "" {
			raw = " \r\n" + raw[2:]
		}
		if _, err := Parse(raw, Stream); describe(err) != want {
			t.Errorf("%q: %s, want %s", line, describe(err), want)
		}
	}
}

func TestParseLineEnds(t *testing.T) {
	good := request("Subject: x\r\n y", "T-x: z")
	mustParse(t, good)
	for i := range good {
		if good[i] != '\n' {
			continue
		}
		for _, bad := range []string{good[:i-1] + good[i:], good[:i-1] + "\r" + good[i-1:], good[:i] + good[i+1:]} {
			_, err := Parse(bad, Datagram)
			if err == nil {
				t.Errorf("accepted %q", bad)
			}
		}
	}
	for i := range good {
		for _, c := range []string{"\r", "\x00", "\n"} {
			if bad := good[:i] + c + good[i:]; (good[i] != '\r' || c != "\n") && i < len(good)-1 {
				if m, err := Parse(bad, Stream); err == nil {
					t.Errorf("accepted %q as %+v", bad, m.Lines)
				}
			}
		}
	}
	if _, err := Parse(strings.ReplaceAll(good, "\r\n", "\n"), Datagram); describe(err) != "400 Bad Line End" {
		t.Errorf("LF alone: %v", err)
	}
}

func TestParseNUL(t *testing.T) {
	for line, want := range map[string]string{
		"Subject: \"a\\\x00b\"":         "",
		"Subject: x \"\\\\\\\x00\" y":   "",
		"Subject: \"a\x00b\"":           "400 NUL Octet",
		"Subject: \"a\\\\\x00b\"":       "400 NUL Octet",
		"Subject: \\\x00":               "400 NUL Octet",
		"Subject: \"\" \\\x00":          "400 NUL Octet",
		"Subject: \"\\\x00\" \x00":      "400 NUL Octet",
		"Subject: \"\\\"\\\x00":         "",
		"Subject\x00: x":                "400 Bad Header Name",
		"Subject: \"a\\\x00\r\n \x00\"": "400 NUL Octet",
	} {
		if _, err := Parse(request(line), Stream); describe(err) != want {
			t.Errorf("%q: %s, want %s", line, describe(err), want)
		}
	}
	body := request("Content-Length: 3") + "a\x00\n"
	if m := mustParse(t, body); m.Body() != "a\x00\n" {
		t.Errorf("body %q", m.Body())
	}
	if _, err := Parse("OPTIONS\x00\r\n\r\n", Datagram); err == nil {
		t.Error("accepted a NUL in the start line")
	}
}

func TestParseContentLength(t *testing.T) {
	with := func(lines, body string) string {
		return strings.Replace(request(), "Content-Length: 0\r\n", lines, 1) + body
	}
	for _, c := range []struct {
		lines, body      string
		datagram, stream string
		left             string
	}{
		{"Content-Length: 5\r\n", "hello", "", "", "hello"},
		{"l:5\r\n", "hello, you", "", "", "hello"},
		{"CONTENT-LENGTH \r\n :\r\n 005\r\n", "hello", "", "", "hello"},
		{"Content-Length: 0\r\n", "hello", "", "", ""},
		{"", "hello", "", "400 Missing Content-Length, close", "hello"},
		{"", "", "", "400 Missing Content-Length, close", ""},
		{"Content-Length: 6\r\n", "hello", "400 Body Too Short", "400 Body Too Short, close", "hello"},
		{"Content-Length: -1\r\n", "hello", "400 Bad Content-Length", "400 Bad Content-Length, close", "hello"},
		{"Content-Length: +5\r\n", "hello", "400 Bad Content-Length", "400 Bad Content-Length, close", "hello"},
		{"Content-Length: 5 5\r\n", "hello", "400 Bad Content-Length", "400 Bad Content-Length, close", "hello"},
		{"Content-Length: 0x5\r\n", "hello", "400 Bad Content-Length", "400 Bad Content-Length, close", "hello"},
		{"Content-Length:\r\n", "hello", "400 Bad Content-Length", "400 Bad Content-Length, close", "hello"},
		{"Content-Length: 18446744073709551621\r\n", "hello", "400 Bad Content-Length", "400 Bad Content-Length, close", "hello"},
		{"Content-Length: 4294967301\r\n", "hello", "400 Bad Content-Length", "400 Bad Content-Length, close", "hello"},
		{"Content-Length: 5\r\nl: 5\r\n", "hello", "400 Duplicate Content-Length", "400 Duplicate Content-Length, close", "hello"},
		{"l: 5\r\nContent-Length : 4\r\n", "hello", "400 Duplicate Content-Length", "400 Duplicate Content-Length, close", "hello"},
	} {
		for f, want := range []string{c.datagram, c.stream} {
			m, err := Parse(with(c.lines, c.body), Framing(f))
			if describe(err) != want || m.Body() != c.left {
				t.Errorf("%q, framing %d: %s with body %q, want %s", c.lines, f, describe(err), m.Body(), want)
			}
		}
	}
	if _, err := Parse(strings.TrimSuffix(request(), "\r\n"), Stream); describe(err) != "400 No End of Headers, close" {
		t.Errorf("no empty line: %s", describe(err))
	}
}

func TestParseNeeded(t *testing.T) {
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		var without []string
		for _, l := range strings.SplitAfter(request(), "\r\n") {
			if !strings.HasPrefix(l, name+":") {
				without = append(without, l)
			}
		}
		want := "400 Missing " + name
		if name == "Via" {
			want = dropped + "Missing Via"
		}
		raw := strings.Join(without, "")
		if _, err := Parse(raw, Stream); describe(err) != want {
			t.Errorf("%s, want %s", describe(err), want)
		}
		raw = "SIP/2.0 200 OK" + strings.TrimPrefix(raw, "OPTIONS sip:c@d SIP/2.0")
		if _, err := Parse(raw, Stream); describe(err) != dropped+"Missing "+name {
			t.Errorf("response without %s: %s", name, describe(err))
		}
	}
}

func TestParseSingletons(t *testing.T) {
	for h := Via; h < numHeaders; h++ {
		m, err := Parse(request(h.String()+": 1", strings.ToUpper(h.String())+" : 1"), Datagram)
		want := singletons&(1<<h) != 0
		if got := strings.Contains(describe(err), "Duplicate "+h.String()); got != want || m.Count(h) < 2 {
			t.Errorf("two %s: %s", h, describe(err))
		}
	}
}

func TestParseSilentForACK(t *testing.T) {
	raw := strings.ReplaceAll(request("Max-Forwards: x"), "OPTIONS", "ACK")
	if _, err := Parse(raw, Datagram); describe(err) != dropped+"Bad Max-Forwards" {
		t.Errorf("%s", describe(err))
	}
}

func TestParseHeaderLines(t *testing.T) {
	for line, want := range map[string]string{
		"X": "400 Bad Header Line", "X y": "400 Bad Header Line", ": y": "400 Bad Header Name", "X y: z": "400 Bad Header Name",
		" X: y": "400 Bad Header Name", "X(: y": "400 Bad Header Name", "X:": "", "X::": "", "!%*_+`'~.-:\x01\x7fü": "",
	} {
		raw := "OPTIONS sip:c@d SIP/2.0\r\n" + line + "\r\n" + strings.TrimPrefix(request(), "OPTIONS sip:c@d SIP/2.0\r\n")
		if _, err := Parse(raw, Datagram); describe(err) != want {
			t.Errorf("%q: %s, want %s", line, describe(err), want)
		}
	}
}

func TestParseValues(t *testing.T) {
	for line, want := range map[string]string{
		"CSeq: 4294967295 OPTIONS": "", "CSeq: 4294967296 OPTIONS": "400 Bad CSeq", "CSeq: 1": "400 Bad CSeq", "CSeq: OPTIONS": "400 Bad CSeq",
		"CSeq: 1OPTIONS": "400 Bad CSeq", "CSeq: 1 OPTIONS x": "400 Bad CSeq", "CSeq: 1\tOPTIONS": "", "CSeq: 1 options": "400 CSeq Method Mismatch",
		"CSeq: -1 OPTIONS": "400 Bad CSeq", "CSeq:": "400 Bad CSeq",
		"Call-ID:": "400 Bad Call-ID", "Call-ID: a b": "400 Bad Call-ID", "Call-ID: a\r\n b": "400 Bad Call-ID", "Call-ID: a\x1fb": "400 Bad Call-ID", "Call-ID: aaaaaaaaa\x7fb": "400 Bad Call-ID", "Call-ID: a\tb": "400 Bad Call-ID",
		"Call-ID: a@b`~)(><:\\/\"][?}{": "",
		"Via:":                          "400 Bad Via", "Via: ,": "400 Bad Via", "Via: SIP/2.0/UDP h;;x": "400 Bad Via", "Via: SIP/2.0/UDP h;=x": "400 Bad Via",
		"Via: SIP/2.0/UDP h;branch=Z9hg4bk": "400 Bad Via Branch", "Via: SIP/2.0/UDP h;branch=1": "", "Via: SIP/2.0/UDP h": "",
		"Via: SIP/2.0/UDP h, !!": "", "Via: SIP/2.0/UDP h;x=\"": "400 Bad Via",
		"From: sip:a@b": "", "From: *": "400 Bad From", "From: <sip:a@b>, <sip:c@d>": "400 Bad From", "From: <sip:a@b>;x, <sip:c@d>": "400 Bad From",
		"From: \"a, b\" <sip:a@b,c>;x=\"1,2\"": "", "From:": "400 Bad From", "To: <sip:c@d>;;": "", "To: x": "400 Bad To",
		"Max-Forwards: 0": "", "Max-Forwards: 99999999999999999999999": "", "Max-Forwards: ": "400 Bad Max-Forwards", "Max-Forwards: -1": "400 Bad Max-Forwards",
		"Max-Forwards: 7 0": "400 Bad Max-Forwards", "Route: <sip:a;lr>": "", "Route: sip:a;lr": "400 Bad Route", "Route: x": "400 Bad Route", "Route:": "",
		"Route: <sip:a;lr>,\r\n <sip:b>;x , \"N\" <sip:c>": "", "Contact: \"": "", "Contact: sip:a@b?x=y": "", "Record-Route: \"": "",
		"Date: tomorrow": "", "Expires: x": "", "Content-Type: ;;": "", "Subject: \"": "", "Authorization: ,,": "",
	} {
		if _, err := Parse(request(line), Datagram); describe(err) != want {
			t.Errorf("%q: %s, want %s", line, describe(err), want)
		}
	}
}

func TestParseRegisterContacts(t *testing.T) {
	for lines, want := range map[string]string{
		"Contact: <sip:a@b>": "", "Contact: sip:a@b;expires=7, \"N, n\" <sip:c@d;x>;q=0.5;i=\"<,;>\"": "", "m: <sip:a@b>|m: <sip:a@c>": "",
		"Contact: <sip:a@b?Route=x>": "", "Contact: sip:a@b?x=y": "400 Bad Contact", "Contact: <sip:a@b": "400 Bad Contact",
		"Contact: <sip:a@b>;": "400 Bad Contact", "Contact: <sip:a@b>;;q=1": "400 Bad Contact", "Contact: <sip:a@b>;=1": "400 Bad Contact",
		"Contact: <sip:a@b>,": "400 Bad Contact", "Contact: ,<sip:a@b>": "400 Bad Contact", "Contact: <sip:a@b>,,<sip:c@d>": "400 Bad Contact",
		"Contact: <sip:a@b> , <sip:c@d> ;q": "", "Contact: <sip:a@b>;q=\"": "400 Bad Contact", "Contact: <sip:a@b>;x=<y>": "400 Bad Contact",
		"Contact: <sip:a@b> x": "400 Bad Contact", "Contact: <sip:a@2001:db8::1>": "400 Bad Contact", "Contact: <name:John_Smith>": "",
		"Contact: <sip:a b@c>": "400 Bad Contact", "Contact: a@b": "400 Bad Contact", "Contact:": "400 Bad Contact", "Contact: <sip:a@b>|Contact:": "400 Bad Contact",
		"Contact: *": "400 Bad Contact", "Contact: *|Expires: 0": "", "Contact: *|Expires: 00": "", "Contact: *|Expires: 1": "400 Bad Contact",
		"Contact: *|Expires: x": "400 Bad Contact", "Contact: *, <sip:a@b>|Expires: 0": "400 Bad Contact", "Contact: *|Contact: <sip:a@b>|Expires: 0": "400 Bad Contact",
		"Contact: <sip:a@b>|Contact: *|Expires: 0": "400 Bad Contact", "Contact: <*>|Expires: 0": "400 Bad Contact", "Contact: *;x|Expires: 0": "400 Bad Contact",
	} {
		raw := strings.ReplaceAll(request(strings.Split(lines, "|")...), "OPTIONS", "REGISTER")
		m, err := Parse(raw, Datagram)
		if describe(err) != want {
			t.Errorf("%q: %s, want %s", lines, describe(err), want)
		}
		if err != nil {
			continue
		}
		for e := range m.Elems(Contact) { // what the check read, the reader of values must read alike
			a, err := ParseNameAddr(m.Elem(e))
			if err != nil {
				t.Errorf("%q: %v", lines, err)
			}
			if _, err = ParseURI(a.URI); err != nil && a.URI != "*" {
				t.Errorf("%q: %v", lines, err)
			}
		}
	}
}

func TestParseLimits(t *testing.T) {
	list := func(name, value string, n int) string { return name + strings.Repeat(value+",", n-1) + value }
	filler := func(n int) []string {
		var lines []string
		for i := range n - 6 {
			lines = append(lines, fmt.Sprintf("X-%d: x", i))
		}
		return lines
	}
	long := func(n int) string {
		return strings.Replace(request(), "sip:c@d", "sip:"+strings.Repeat("a", n)+"@d", 1)
	}
	body := func(n int) string {
		return request(fmt.Sprintf("Content-Length: %d", n)) + strings.Repeat("x", n)
	}
	const via = "SIP/2.0/UDP h;branch=z9hG4bK1"
	for _, c := range []struct{ name, good, bad, want string }{
		{"start line", long(MaxStartLine - 22), long(MaxStartLine - 21), "414 Start Line Too Long"},
		{"header line", request("X: " + strings.Repeat("x", MaxHeaderLine-5)), request("X: " + strings.Repeat("x", MaxHeaderLine-4)), "400 Header Line Too Long"},
		{
			"folded header line", request("X: " + strings.Repeat("\r\n xxxxx", (MaxHeaderLine-5)/8)),
			request("X: " + strings.Repeat("\r\n xxxxx", MaxHeaderLine/8)), "400 Header Line Too Long",
		},
		{"header lines", request(filler(MaxHeaders)...), request(filler(MaxHeaders + 1)...), "400 Too Many Headers, close"},
		{"Vias", request(list("Via: ", via, MaxVias)), request(list("Via: ", via, MaxVias+1)), "400 Too Many Vias"},
		{"Routes", request(list("Route: ", "<sip:a>", MaxRoutes)), request(list("Route: ", "<sip:a>", MaxRoutes+1)), "400 Too Many Routes"},
		{"Contacts", request(list("m: ", "<sip:a>", MaxContacts)), request(list("m: ", "<sip:a>", MaxContacts+1)), "400 Too Many Contacts"},
		{
			"bindings", strings.ReplaceAll(request(list("m: ", "<sip:a>", MaxContacts)), "OPTIONS", "REGISTER"),
			strings.ReplaceAll(request(list("m: ", "<sip:a>", MaxContacts+1)), "OPTIONS", "REGISTER"), "400 Too Many Contacts",
		},
		{"body", body(MaxBody), body(MaxBody + 1), "413 Body Too Large"},
	} {
		if _, err := Parse(c.good, Stream); err != nil {
			t.Errorf("%s: at the limit: %v", c.name, err)
		}
		if _, err := Parse(c.bad, Stream); describe(err) != c.want {
			t.Errorf("%s: %s, want %s", c.name, describe(err), c.want)
		}
	}
	big := request(filler(100)...) // lines long enough for any size
	big = strings.ReplaceAll(big, ": x\r\n", ": "+strings.Repeat("x", 700)+"\r\n")
	if _, err := Parse(big, Datagram); len(big) <= MaxMessage || describe(err) != "513 Message Too Large" {
		t.Errorf("%d octets: %s", len(big), describe(err))
	}
	response := "SIP/2.0 200 OK" + strings.TrimPrefix(request(list("m: ", "<sip:a>", 40)), "OPTIONS sip:c@d SIP/2.0")
	mustParse(t, response) // a registrar may list more than we let a phone register
}

// TestParseBroken cuts good messages at each octet: nothing may panic, and the
// message is there, with what could be read.
func TestParseBroken(t *testing.T) {
	for _, raw := range []string{benchInvite, benchRegister, readVector(t, "rfc4475/wsinv.dat"), readVector(t, "rfc4475/intmeth.dat")} {
		for i := range raw {
			for f := Datagram; f <= Stream; f++ {
				m, err := Parse(raw[:i], f)
				if err == nil && (f == Stream || i <= m.BodyStart) {
					t.Fatalf("accepted %q", raw[:i])
				}
				if m == nil || m.Raw != raw[:i] {
					t.Fatalf("no message from %q", raw[:i])
				}
				m.AppendResponse(nil, 400, "Bad Request", "t")
			}
		}
	}
}

func TestResetKeepsNothing(t *testing.T) {
	var m Message
	if err := m.Reset(benchInvite, Datagram); err != nil {
		t.Fatal(err)
	}
	if err := m.Reset("SIP/2.0 100 \r\n\r\n", Stream); err == nil || m.Method+m.URI != "" || m.Status != 100 || len(m.Lines) != 0 {
		t.Errorf("%+v", m)
	}
	if _, _, ok := m.CSeq(); ok || m.Get(Via) != "" || m.Body() != "" {
		t.Error("something is left")
	}
	if err := m.Reset("", Datagram); err == nil || err.Error() != "reading message: No Start Line" {
		t.Error(err)
	}
	if m.Status != 0 || m.Reason != "" || m.Raw != "" {
		t.Errorf("%+v", m)
	}
}
