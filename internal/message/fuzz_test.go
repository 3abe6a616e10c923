package message

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// seed adds the vectors, the messages of the benchmarks and some generated ones.
func seed(f *testing.F, add func(raw string)) {
	f.Helper()
	for _, pattern := range []string{"rfc4475/*.dat", "rfc4475/wire/*.dat", "rfc5118/wire/*.dat"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			rel, _ := filepath.Rel("testdata", name)
			add(readVector(f, rel))
		}
	}
	add(benchRegister)
	add(benchInvite)
	g := generator{Rand: rand.New(rand.NewPCG(5, 6))}
	for range 50 {
		add(g.message())
	}
}

// FuzzParse reads anything: nothing panics, the index covers the message
// without gaps, writing it gives the same bytes, an answer to it can be read,
// and where sipgo accepts it too, both have read the same.
func FuzzParse(f *testing.F) {
	seed(f, func(raw string) { f.Add(raw, false); f.Add(raw, true) })
	p := sip.NewParser()
	f.Fuzz(func(t *testing.T, raw string, stream bool) {
		framing := Datagram
		if stream {
			framing = Stream
		}
		m, err := Parse(raw, framing)
		answer := m.AppendResponse(nil, 400, "Bad Request", "t")
		if err != nil {
			if describe(err) == dropped {
				t.Error("no reason given")
			}
			return
		}
		covers(t, m)
		roundTrip(t, m, new(Edits))
		again, err := Parse(m.Raw, framing)
		if err != nil || !slices.Equal(again.Lines, m.Lines) {
			t.Errorf("read again: %v", err)
		}
		if a, err := Parse(string(answer), Stream); err != nil || a.Get(CallID) != m.Get(CallID) || a.Get(CSeq) != m.Get(CSeq) {
			t.Errorf("answer %q: %v", answer, err)
		}
		if !strings.Contains(m.Raw[:m.BodyStart], "\x00") {
			compare(t, m, p)
		}
	})
}

// covers checks that the lines follow each other from the start line to the
// body, and that each is what it says.
func covers(t *testing.T, m *Message) {
	t.Helper()
	pos := int32(strings.IndexByte(m.Raw, '\n') + 1)
	for _, l := range m.Lines {
		if l.Start != pos || l.NameEnd <= l.Start || l.ValueStart <= l.NameEnd || l.ValueEnd < l.ValueStart || l.End < l.ValueEnd+2 {
			t.Fatalf("line %+v at %d", l, pos)
		}
		if l.ID != named(m.Name(l)) || m.Raw[l.End-2:l.End] != "\r\n" {
			t.Errorf("line %+v is %q", l, m.Raw[l.Start:l.End])
		}
		if v := m.Value(l); v != "" && (isBlank(v[0]) || isBlank(v[len(v)-1])) {
			t.Errorf("value %q has blanks", v)
		}
		pos = l.End
	}
	if m.Raw[pos:m.BodyStart] != "\r\n" {
		t.Errorf("%q after the last header", m.Raw[pos:m.BodyStart])
	}
}

// compare reads m with sipgo, and what both accept has to be the same.
func compare(t *testing.T, m *Message, p *sip.Parser) {
	t.Helper()
	other, err := p.ParseSIP([]byte(m.Raw))
	if err != nil {
		return
	}
	number, method, _ := m.CSeq()
	if c := other.CSeq(); c != nil && (c.SeqNo != number || strings.Trim(string(c.MethodName), " \t") != method) {
		t.Errorf("CSeq %d %q, sipgo %d %q", number, method, c.SeqNo, c.MethodName)
	}
	if id := other.CallID(); id != nil && id.Value() != strings.TrimSpace(m.Get(CallID)) { // it trims more than the blanks of SIP
		t.Errorf("Call-ID %q, sipgo %q", m.Get(CallID), id.Value())
	}
	if string(other.Body()) != m.Body() {
		t.Errorf("body %q, sipgo %q", m.Body(), other.Body())
	}
	switch other := other.(type) {
	case *sip.Request:
		if string(other.Method) != strings.ToUpper(m.Method) || !sameURI(m.URI, other.Recipient) {
			t.Errorf("request %q %q, sipgo %q %q", m.Method, m.URI, other.Method, other.Recipient.String())
		}
	case *sip.Response:
		if other.StatusCode != m.Status || other.Reason != m.Reason {
			t.Errorf("response %d %q, sipgo %d %q", m.Status, m.Reason, other.StatusCode, other.Reason)
		}
	}
}

// sameURI compares what decides where a request goes. sipgo drops empty
// parameters, colons of passwords and zeros before a port, so the strings may
// differ.
func sameURI(s string, other sip.Uri) bool {
	u, err := ParseURI(s)
	if err != nil || u.Host == "" {
		scheme, rest, _ := strings.Cut(s, ":")
		return other.String() == strings.ToLower(scheme)+":"+rest
	}
	user := strings.ReplaceAll(other.User+other.Password, ":", "")
	return EqualFold(other.Scheme, u.Scheme) && user == strings.ReplaceAll(u.User, ":", "") &&
		strings.Trim(other.Host, "[]") == strings.Trim(u.Host, "[]") && other.Port == u.Port
}

// FuzzEdits makes random edits and compares them with the same ones made one
// after the other, from the back.
func FuzzEdits(f *testing.F) {
	seed(f, func(raw string) { f.Add(raw, uint64(1), "new"); f.Add(raw, uint64(2), "") })
	f.Fuzz(func(t *testing.T, raw string, choice uint64, text string) {
		m, err := Parse(raw, Datagram)
		if err != nil || m.Count(ContentLength) == 0 {
			return
		}
		r := rand.New(rand.NewPCG(choice, 7))
		var e Edits
		type splice struct {
			start, end int32
			text       string
		}
		var all []splice
		for pos := int32(0); ; {
			start := pos + r.Int32N(100)
			end := start + r.Int32N(20)
			length, _ := m.First(ContentLength)
			if end > int32(m.BodyStart)-2 || end >= length.Start {
				break
			}
			all = append(all, splice{start, end, text})
			pos = end + 1
		}
		for _, i := range r.Perm(len(all)) {
			e.Replace(all[i].start, all[i].end, all[i].text[:len(text)/2], all[i].text[len(text)/2:])
		}
		want := m.Raw
		for i := len(all) - 1; i >= 0; i-- {
			want = want[:all[i].start] + all[i].text + want[all[i].end:]
		}
		if got := string(e.Append(nil, m)); got != want {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
		bodyAndValues(t, m, r, text)
	})
}

// bodyAndValues replaces the body of m and takes values out of its lists: what
// comes out is read again, with that body and without those values.
func bodyAndValues(t *testing.T, m *Message, r *rand.Rand, text string) {
	t.Helper()
	var e Edits
	body := text[:min(len(text), MaxBody)]
	e.SetBody(m, body)
	var want []string
	for el := range m.Elems(Supported) {
		if r.IntN(2) == 0 {
			e.DeleteElem(m, el)
		} else {
			want = append(want, m.Elem(el))
		}
	}
	out := string(e.Append(nil, m))
	after, err := Parse(out, Stream)
	if err != nil || after.Body() != body || after.Count(ContentLength) != 1 {
		t.Fatalf("%v, body %q, want %q in\n%q", err, after.Body(), body, out)
	}
	if got := elems(after, Supported); !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
}

// FuzzNameAddr reads a value as every kind of value, and as a list of them:
// spans lie where they say, and the parts put together are the whole.
func FuzzNameAddr(f *testing.F) {
	for _, s := range []string{
		"caller<sip:a@[::1]:5060;lr>;tag=1", `"A, \"B" <sip:a?b@c;d?e=f> ;x = "y;z" ; q`, "*", "sip:a@b;x=1, <sip:c>", "SIP/2.0/UDP [::1]:5060;received=[::2]",
		"SIP\r\n / 2.0 / TLS h : 5061 ;;", ";a=b; c ;d=\"e;f\"", "Digest a=\"b,c\", d=<e,f>", "tel:+49", "\"open, <x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseNameAddr(s); err == nil {
			if s[a.URIStart:a.URIEnd] != a.URI || s[a.ParamsStart:a.ParamsStart+len(a.Params)] != a.Params || !strings.Contains(s, a.Display) {
				t.Errorf("%q: %+v", s, a)
			}
			if a.Angle != (a.URIStart > 0 && s[a.URIStart-1] == '<') || strings.ContainsAny(a.URI, "<> \r\n\t\"") {
				t.Errorf("%q: URI %q", s, a.URI)
			}
			params(t, a.Params)
			if a.URI != "*" {
				fuzzURI(t, a.URI)
			}
		}
		fuzzURI(t, s)
		if v, err := ParseVia(s); err == nil {
			if s[v.ParamsStart:v.ParamsStart+len(v.Params)] != v.Params || v.Host == "" || v.Transport == "" {
				t.Errorf("%q: %+v", s, v)
			}
			params(t, v.Params)
		}
		params(t, s)
		list(t, s)
		Unquote(s)
		if u := Unfold(s); strings.ContainsAny(u, "\r\n") {
			t.Errorf("unfolded %q", u)
		}
	})
}

func fuzzURI(t *testing.T, s string) {
	t.Helper()
	u, err := ParseURI(s)
	if err != nil || u.Host == "" {
		return
	}
	again := u.Scheme + ":"
	if u.HasUser {
		again += u.User + "@"
	}
	again += s[u.HostStart:u.HostEnd]
	if rest := s[len(again):]; u.Port != 0 {
		again += rest[:len(rest)-len(strings.TrimLeft(rest, ":0123456789"))]
	}
	again += u.Params
	if u.Headers != "" {
		again += "?" + u.Headers
	}
	if again != s || u.Host != s[u.HostStart:u.HostEnd] {
		t.Errorf("%q: %+v gives %q", s, u, again)
	}
	u.Addr()
}

// params checks that every parameter found can be cut out and is then gone.
func params(t *testing.T, s string) {
	t.Helper()
	for name, value := range Params(s) {
		v, ok := Param(s, name)
		start, end, ok2 := ParamSpan(s, name)
		if !ok || !ok2 || !strings.Contains(strings.ToLower(s[start:end]), strings.ToLower(name)) || !strings.Contains(s, value) || len(v) > end-start {
			t.Fatalf("%q: %q=%q, found %q at [%d, %d)", s, name, value, v, start, end)
		}
	}
}

// list checks that the values of a list are the whole but for commas and blanks.
func list(t *testing.T, s string) {
	t.Helper()
	rest := 0
	for i := 0; i < len(s); {
		start, end, next := nextElem(s, i)
		if start < i || end < start || next <= i || end > len(s) {
			t.Fatalf("%q: value [%d, %d) from %d on", s, start, end, i)
		}
		rest += end - start
		i = next
	}
	n := 0
	for i := range len(s) {
		if !isBlank(s[i]) && s[i] != ',' {
			n++
		}
	}
	if rest < n {
		t.Errorf("%q: %d octets in values, want at least %d", s, rest, n)
	}
}
