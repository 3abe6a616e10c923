package message

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// roundTrip writes m unedited: the same bytes, and where there was no
// Content-Length one more line.
func roundTrip(t testing.TB, m *Message, e *Edits) {
	t.Helper()
	e.Reset()
	got, want := string(e.Append(nil, m)), m.Raw
	if m.Count(ContentLength) == 0 {
		want = m.Raw[:m.BodyStart-2] + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(m.Body())) + m.Body()
	}
	if got != want {
		t.Fatalf("got\n%q\nwant\n%q", got, want)
	}
}

func TestRoundTripOfVectors(t *testing.T) {
	var e Edits
	for _, r := range reactions {
		if r.datagram != "" {
			continue
		}
		raw := readVector(t, r.file+".dat")
		m := mustParse(t, raw)
		if !strings.HasPrefix(raw, m.Raw) || r.file != "rfc4475/dblreq" && len(raw) != len(m.Raw) {
			t.Errorf("%s: %d of %d octets", r.file, len(m.Raw), len(raw))
		}
		roundTrip(t, m, &e)
	}
}

// TestRoundTripOfGenerated reads and writes 10,000 messages of all shapes, and
// compares what is read with what was put in.
func TestRoundTripOfGenerated(t *testing.T) {
	g := generator{Rand: rand.New(rand.NewPCG(1, 2))}
	var m Message
	var e Edits
	folded := 0
	for i := range 10_000 {
		raw := g.message()
		for f := Datagram; f <= Stream; f++ {
			if f == Stream && !g.length {
				continue
			}
			if err := m.Reset(raw, f); err != nil {
				t.Fatalf("message %d: %v in\n%s", i, err, raw)
			}
		}
		if m.Raw != raw || m.Body() != g.body || len(m.Lines) != len(g.fields) {
			t.Fatalf("message %d: body %q, %d lines in\n%s", i, m.Body(), len(m.Lines), raw)
		}
		for n, f := range g.fields {
			l := m.Lines[n]
			start, end := trim(f.value, 0, len(f.value))
			if l.ID != f.id || m.Name(l) != f.name || m.Value(l) != f.value[start:end] {
				t.Fatalf("message %d, line %d: %v %q %q, want %v %q %q", i, n, l.ID, m.Name(l), m.Value(l), f.id, f.name, f.value)
			}
		}
		if strings.Contains(raw[:m.BodyStart], "\r\n ") {
			folded++
		}
		roundTrip(t, &m, &e)
	}
	if folded < 5000 {
		t.Errorf("only %d messages with folds", folded)
	}
}

// TestVectorValues looks into vectors whose difficulty is in their values.
func TestVectorValues(t *testing.T) {
	read := func(name string) *Message { return mustParse(t, readVector(t, name+".dat")) }
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	m := read("rfc4475/wsinv")
	to, _ := ParseNameAddr(m.Get(To))
	tag, _ := Param(to.Params, "tag")
	check("wsinv To", to.URI+" "+tag, "sip:vivekg@chair-dnrc.example.com 1918181833n")
	from, _ := ParseNameAddr(m.Get(From))
	check("wsinv From", Unquote(from.Display), `J Rosenberg \"`)
	var vias []string
	for e := range m.Elems(Via) {
		v, err := ParseVia(m.Elem(e))
		branch, _ := Param(v.Params, "branch")
		vias = append(vias, fmt.Sprint(v.Transport, v.Host, branch, err))
	}
	check("wsinv Via", strings.Join(vias, " "), "UDP192.0.2.2390skdjuw<nil> TCPspindle.example.comz9hG4bK9ikj8<nil> UDP192.168.255.111z9hG4bK30239<nil>")
	contact, _ := ParseNameAddr(m.Get(Contact))
	q, _ := Param(contact.Params, "q")
	newparam, _ := Param(contact.Params, "newparam")
	check("wsinv Contact", contact.URI+" "+q+" "+newparam, "sip:jdrosen@example.com 0.33 newvalue")

	m = read("rfc4475/intmeth")
	check("intmeth method", m.Method, "!interesting-Method0123456789_*+`.%indeed'~")
	u, err := ParseURI(m.URI)
	check("intmeth URI", u.User+" "+u.Host, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it) example.com")
	if err != nil {
		t.Error(err)
	}
	to, _ = ParseNameAddr(m.Get(To))
	check("intmeth To", Unquote(to.Display), "BEL:\x07 NUL:\x00 DEL:\x7f")

	m = read("rfc4475/esc02")
	check("esc02 contacts", strings.Join(elems(m, Contact), " "), "<sip:alias1@host1.example.com> <sip:alias3@host3.example.com>")
	check("escnull contacts", strings.Join(elems(read("rfc4475/escnull"), Contact), " "), "<sip:%00@host5.example.com> <sip:%00%00@host5.example.com>")
	check("longreq Vias", fmt.Sprint(read("rfc4475/longreq").Count(Via)), "34")
	check("dblreq body", read("rfc4475/dblreq").Body(), "")
	u, _ = ParseURI(read("rfc4475/semiuri").URI)
	check("semiuri", u.User+" "+u.Host+" "+u.Params, "user;par=u%40example.net example.com ")
	body := read("rfc4475/mpart01").Body()
	if len(body) != 553 || strings.Count(body, "\x00") == 0 {
		t.Errorf("mpart01: body of %d", len(body))
	}
	check("unreason", read("rfc4475/unreason").Reason, "= 2**3 * 5**2 но сто девяносто девять - простое")
	check("noreason", read("rfc4475/noreason").Reason, "")
	check("cparam01", contactOf(t, read("rfc4475/cparam01")), "sip:+19725552222@gw1.example.net|;unknownparam|false")
	check("cparam02", contactOf(t, read("rfc4475/cparam02")), "sip:+19725552222@gw1.example.net;unknownparam||true")
	for name, want := range map[string]string{"port-ambiguous": "[2001:db8::10:5070] 0", "port-unambiguous": "[2001:db8::10] 5070", "ipv6-bug-abnf-3-colons": "[2001:db8:::192.0.2.1] 0"} {
		u, err := ParseURI(read("rfc5118/wire/" + name).URI)
		check(name, fmt.Sprint(u.Host, " ", u.Port, err), want+" <nil>")
	}
	for name, want := range map[string]string{"via-received-param-with-delim": "[2001:db8::9:255]", "via-received-param-no-delim": "2001:db8::9:255"} {
		v, _ := ParseVia(read("rfc5118/wire/" + name).Get(Via))
		received, _ := Param(v.Params, "received")
		check(name, received, want)
	}
	v, _ := ParseVia(read("rfc5118/wire/ipv4-mapped-ipv6").Get(Via))
	a, _ := v.Addr()
	check("ipv4-mapped-ipv6", a.String(), "192.0.2.10")
}

func contactOf(t *testing.T, m *Message) string {
	a, err := ParseNameAddr(m.Get(Contact))
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%s|%s|%v", a.URI, a.Params, a.Angle)
}
