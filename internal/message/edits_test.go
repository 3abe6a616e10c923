package message

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// edited returns raw after the edits that f makes.
func edited(t testing.TB, raw string, f func(m *Message, e *Edits)) string {
	t.Helper()
	m := mustParse(t, raw)
	var e Edits
	f(m, &e)
	return string(e.Append(nil, m))
}

// replaced returns s with old, which is there once, replaced.
func replaced(t testing.TB, s, old, now string) string {
	t.Helper()
	if strings.Count(s, old) != 1 {
		t.Fatalf("%q is %d times in %q", old, strings.Count(s, old), s)
	}
	return strings.Replace(s, old, now, 1)
}

func TestEditsSplice(t *testing.T) {
	raw := request("Max-Forwards : \t0070 ", "x-fold: a\r\n b")
	got := edited(t, raw, func(m *Message, e *Edits) {
		seq, _ := m.First(CSeq)
		via, _ := m.First(Via)
		mf, _ := m.First(MaxForwards)
		e.Replace(seq.ValueStart, seq.ValueEnd, "9", " OPTIONS")
		e.Insert(via.Start, "Via: 2", "\r\n")
		e.Replace(via.ValueStart, via.ValueEnd, "changed")
		e.Insert(via.Start, "Via: 3\r\n")
		e.Replace(mf.ValueStart, mf.ValueEnd, "69")
		e.Insert(via.End, "X-After: via\r\n")
		e.Delete(8, 11)
		e.Insert(8, "sips")
	})
	want := replaced(t, raw, "CSeq: 1 OPTIONS", "CSeq: 9 OPTIONS")
	want = replaced(t, want, "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", "Via: 2\r\nVia: 3\r\nVia: changed\r\nX-After: via\r\n")
	want = replaced(t, want, ": \t0070 ", ": \t69 ")
	want = replaced(t, want, "OPTIONS sip:", "OPTIONS sips:")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEditsInsertBeforeReplacement(t *testing.T) {
	raw := request("Subject: abc")
	got := edited(t, raw, func(m *Message, e *Edits) {
		l, _ := m.First(Other)
		e.Replace(l.ValueStart, l.ValueStart+1, "R")
		e.Insert(l.ValueStart, "1")
		e.Insert(l.ValueStart+1, "3")
		e.Insert(l.ValueStart, "2")
		e.Replace(l.ValueStart+1, l.ValueEnd)
	})
	if want := replaced(t, raw, "abc", "12R3"); got != want {
		t.Errorf("got %q", got)
	}
}

func TestEditsAppendToWhatIsThere(t *testing.T) {
	m := mustParse(t, request())
	var e Edits
	if got := string(e.Append([]byte("before "), m)); got != "before "+m.Raw {
		t.Errorf("got %q", got)
	}
	e.Reset()
	e.DeleteLine(m, m.Lines[0])
	e.Reset()
	if got := string(e.Append(nil, m)); got != m.Raw {
		t.Errorf("after Reset got %q", got)
	}
}

func TestEditsPanic(t *testing.T) {
	raw := request("Route: <sip:a>, <sip:b>", "Content-Length: 4") + "body"
	for name, f := range map[string]func(m *Message, e *Edits){
		"overlap":                 func(_ *Message, e *Edits) { e.Delete(40, 50); e.Delete(49, 51) },
		"same place twice":        func(_ *Message, e *Edits) { e.Replace(40, 50, "a"); e.Replace(40, 50, "b") },
		"insertion inside":        func(_ *Message, e *Edits) { e.Insert(45, "x"); e.Delete(40, 50) },
		"backwards":               func(_ *Message, e *Edits) { e.Delete(50, 40) },
		"before the message":      func(_ *Message, e *Edits) { e.Delete(-1, 4) },
		"the empty line":          func(m *Message, e *Edits) { e.Insert(int32(m.BodyStart), "x") },
		"the body":                func(m *Message, e *Edits) { e.Replace(int32(m.BodyStart), int32(len(m.Raw)), "x") },
		"past the end":            func(m *Message, e *Edits) { e.Delete(40, int32(len(m.Raw))+1) },
		"a value and its line":    func(m *Message, e *Edits) { e.DeleteElem(m, elem(m, Route, 0)); e.DeleteLine(m, m.Lines[0]) },
		"a value twice":           func(m *Message, e *Edits) { e.DeleteElem(m, elem(m, Route, 1)); e.DeleteElem(m, elem(m, Route, 1)) },
		"no value":                func(m *Message, e *Edits) { e.DeleteElem(m, Elem{Line: 0, Start: m.Lines[0].ValueStart + 1}) },
		"Content-Length and body": func(m *Message, e *Edits) { e.SetBody(m, "x"); l, _ := m.First(ContentLength); e.DeleteLine(m, l) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			edited(t, raw, f)
		})
	}
}

// elem returns the nth value of h.
func elem(m *Message, h Header, n int) Elem {
	for e := range m.Elems(h) {
		if n--; n < 0 {
			return e
		}
	}
	panic("no such value")
}

func TestEditsDeleteElem(t *testing.T) {
	const all = "Route: <sip:1>\r\n ,  \"a,b\" <sip:2>;x=\",\", <sip:3>,<sip:4>"
	for cut, want := range map[string]string{
		"":     all,
		"1":    "Route: \"a,b\" <sip:2>;x=\",\", <sip:3>,<sip:4>",
		"2":    "Route: <sip:1>, <sip:3>,<sip:4>",
		"3":    "Route: <sip:1>\r\n ,  \"a,b\" <sip:2>;x=\",\",<sip:4>",
		"4":    "Route: <sip:1>\r\n ,  \"a,b\" <sip:2>;x=\",\", <sip:3>",
		"21":   "Route: <sip:3>,<sip:4>",
		"43":   "Route: <sip:1>\r\n ,  \"a,b\" <sip:2>;x=\",\"",
		"13":   "Route: \"a,b\" <sip:2>;x=\",\",<sip:4>",
		"24":   "Route: <sip:1>, <sip:3>",
		"123":  "Route: <sip:4>",
		"234":  "Route: <sip:1>",
		"4321": "",
	} {
		got := edited(t, request(all), func(m *Message, e *Edits) {
			for _, c := range cut {
				e.DeleteElem(m, elem(m, Route, int(c-'1')))
			}
		})
		wanted := request(want)
		if want == "" {
			wanted = request()
		}
		if got != wanted {
			t.Errorf("without %s: %q", cut, got)
		}
	}
}

func TestEditsDeleteElemOfSeveralLines(t *testing.T) {
	raw := request("Via: SIP/2.0/UDP 1, SIP/2.0/UDP 2", "Route: <sip:1>,<sip:2>", "Subject: x", "Route: <sip:3>", "Route: ,<sip:4>,,<sip:5>,")
	got := edited(t, raw, func(m *Message, e *Edits) {
		for _, n := range []int{3, 2, 0} {
			e.DeleteElem(m, elem(m, Route, n))
		}
		e.DeleteElem(m, elem(m, Via, 0))
		e.Insert(elem(m, Route, 0).Start, "<sip:0>, ")
	})
	want := request("Via: SIP/2.0/UDP 2", "Route: <sip:0>, <sip:2>", "Subject: x", "Route: ,<sip:5>,")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestEditsDeleteElemLeavesTheOthers tries random lists and random cuts.
func TestEditsDeleteElemLeavesTheOthers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		line, n := "Contact: ", 1+r.IntN(6)
		for i := range n {
			line += pick(r, "", " ", "\r\n ") + pick(r, "<sip:a,b>", `"x,\"" <sip:c>`, "sip:d;q=\",\"") + pick(r, "", " ", "\r\n\t")
			if i < n-1 || r.IntN(8) == 0 {
				line += pick(r, ",", ",", ", ,")
			}
		}
		m := mustParse(t, request(line))
		var e Edits
		var want []string
		for el := range m.Elems(Contact) {
			if r.IntN(2) == 0 {
				e.DeleteElem(m, el)
			} else {
				want = append(want, m.Elem(el))
			}
		}
		after := mustParse(t, string(e.Append(nil, m)))
		if got := elems(after, Contact); !slices.Equal(got, want) || after.Count(Contact) != min(len(want), 1) {
			t.Fatalf("%q: left %q, want %q", line, got, want)
		}
	}
}

func TestEditsSetBody(t *testing.T) {
	for _, c := range []struct{ lines, body, now, want string }{
		{"Content-Length: 4\r\n", "body", "longer body", "Content-Length: 11\r\n"},
		{"CONTENT-LENGTH \r\n : 004 \r\n", "body", "b", "CONTENT-LENGTH \r\n : 1 \r\n"},
		{"l:4\r\n", "body", "", "l:0\r\n"},
		{"Content-Length: 0\r\n", "", "new", "Content-Length: 3\r\n"},
		{"", "body", "other body", "Content-Length: 10\r\n"},
		{"", "", "", "Content-Length: 0\r\n"},
		{"l: 2\r\n", "body", "ab", "l: 2\r\n"},
	} {
		raw := strings.Replace(request("Subject: x"), "Content-Length: 0\r\n", c.lines, 1) + c.body
		got := edited(t, raw, func(m *Message, e *Edits) {
			e.SetBody(m, "an earlier one")
			e.SetBody(m, c.now)
			l, _ := m.First(Other)
			e.Replace(l.ValueStart, l.ValueEnd, "changed")
		})
		want := strings.Replace(request("Subject: changed"), "Content-Length: 0\r\n", c.want, 1) + c.now
		if got != want {
			t.Errorf("%q: got %q, want %q", c.lines, got, want)
		}
		if m, err := Parse(got, Stream); err != nil || m.Body() != c.now || m.Count(ContentLength) != 1 {
			t.Errorf("%q: %v, body %q", c.lines, err, m.Body())
		}
	}
}

func TestEditsAddContentLength(t *testing.T) {
	raw := readVector(t, "rfc4475/inv2543.dat")
	m := mustParse(t, raw)
	var e Edits
	e.Insert(int32(m.BodyStart)-2, "X-Last: 1\r\n")
	got := string(e.Append(nil, m))
	if want := replaced(t, raw, "\r\n\r\n", "\r\nX-Last: 1\r\nContent-Length: 105\r\n\r\n"); got != want {
		t.Errorf("got %q", got)
	}
	if _, err := Parse(got, Stream); err != nil {
		t.Error(err)
	}
}
