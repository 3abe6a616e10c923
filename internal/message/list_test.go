package message

import (
	"slices"
	"strings"
	"testing"
)

// request returns a good request with lines as its first headers; a line whose
// name is among the usual ones takes that one's place.
func request(lines ...string) string {
	usual := []string{
		"Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:a@b>;tag=1", "To: <sip:c@d>", "Call-ID: x", "CSeq: 1 OPTIONS", "Content-Length: 0",
	}
	b := "OPTIONS sip:c@d SIP/2.0\r\n"
	for _, l := range lines {
		b += l + "\r\n"
		name, _, _ := strings.Cut(l, ":")
		usual = slices.DeleteFunc(usual, func(u string) bool { return strings.HasPrefix(u, name+":") })
	}
	for _, l := range usual {
		b += l + "\r\n"
	}
	return b + "\r\n"
}

// mustParse parses what has to be a good datagram.
func mustParse(t testing.TB, raw string) *Message {
	t.Helper()
	m, err := Parse(raw, Datagram)
	if err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return m
}

func elems(m *Message, h Header) []string {
	var got []string
	for e := range m.Elems(h) {
		got = append(got, m.Elem(e))
	}
	return got
}

func TestElems(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  []string
	}{
		{nil, nil},
		{[]string{"Contact: *"}, []string{"*"}},
		{[]string{"Contact:"}, nil},
		{[]string{"Contact: sip:a@b;x=1"}, []string{"sip:a@b;x=1"}},
		{[]string{"m: sip:a@x, sip:b@y;q=1"}, []string{"sip:a@x", "sip:b@y;q=1"}},
		{[]string{`Contact: "A, \"B,\"" <sip:a,b@c>;x="1,2" ,<sip:d>`}, []string{`"A, \"B,\"" <sip:a,b@c>;x="1,2"`, "<sip:d>"}},
		{[]string{"Contact:\r\n <sip:a>\r\n\t,\r\n  <sip:b>\r\n ;q=1", "CONTACT : <sip:c>,,"}, []string{"<sip:a>", "<sip:b>\r\n ;q=1", "<sip:c>"}},
		{[]string{"Contact: ,, <sip:a> ,"}, []string{"<sip:a>"}},
		{[]string{`Contact: "open, <sip:a>`}, []string{`"open, <sip:a>`}},
		{[]string{"Contact: <sip:a, <sip:b>"}, []string{"<sip:a, <sip:b>"}},
		{[]string{"Contact: <sip:a, b"}, []string{"<sip:a", "b"}},
	} {
		m := mustParse(t, request(c.lines...))
		if got := elems(m, Contact); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
		for e := range m.Elems(Contact) {
			if l := m.Lines[e.Line]; l.ID != Contact || e.Start < l.ValueStart || e.End > l.ValueEnd {
				t.Errorf("%q: element %+v outside its line %+v", c.lines, e, l)
			}
		}
	}
	for range mustParse(t, request("Contact: <sip:a>, <sip:b>")).Elems(Contact) {
		break
	}
}

func TestHasToken(t *testing.T) {
	m := mustParse(t, request("Supported: outbound, PATH", "k:gruu,\r\n 100rel", "Require:"))
	for tag, want := range map[string]bool{"path": true, "Outbound": true, "gruu": true, "100REL": true, "out": false, "": false} {
		if m.HasToken(Supported, tag) != want {
			t.Errorf("%q: %v", tag, !want)
		}
	}
	if m.HasToken(Require, "path") || m.HasToken(ProxyRequire, "path") {
		t.Error("a token where there is none")
	}
}

func TestLines(t *testing.T) {
	m := mustParse(t, request("Route: <sip:1;lr>", "X-Other: 1", "Route: <sip:2;lr>,<sip:3;lr>", "x-other: 2"))
	if m.Count(Route) != 2 || m.Count(Other) != 2 || m.Count(Path) != 0 || m.Get(Route) != "<sip:1;lr>" || m.Get(Path) != "" {
		t.Errorf("%+v", m.Lines)
	}
	var got []string
	for l := range m.Each(Route) {
		got = append(got, m.Name(l)+"="+m.Value(l))
	}
	if want := []string{"Route=<sip:1;lr>", "Route=<sip:2;lr>,<sip:3;lr>"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for range m.Each(Route) {
		break
	}
	if _, ok := m.First(Path); ok {
		t.Error("a line of what is not there")
	}
	if l, ok := m.First(Other); !ok || m.Name(l) != "X-Other" {
		t.Errorf("first other line %q", m.Name(l))
	}
}
