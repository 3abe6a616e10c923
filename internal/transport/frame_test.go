package transport

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pinhole/internal/message"
)

// msg is a whole message with a body of n octets.
func msg(n int) string {
	return "OPTIONS sip:b@example.com SIP/2.0\r\n" +
		"Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKa\r\n" +
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n" +
		"Call-ID: c\r\nCSeq: 1 OPTIONS\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n", n) + strings.Repeat("x", n)
}

// cut feeds the pieces to a framer and returns all tokens, with the octets.
func cut(limit int, pieces ...string) []string {
	f := framer{limit: limit}
	var all []string
	for _, p := range pieces {
		for len(p) > 0 {
			n := copy(f.space(), p)
			f.add(n)
			p = p[n:]
			for done := false; !done; {
				switch t, raw := f.next(); t {
				case more:
					done = true
				case crlf:
					all = append(all, "crlf")
				case framed:
					all = append(all, string(raw))
				case broken:
					return append(all, fmt.Sprintf("broken large=%t", f.large))
				}
			}
		}
	}
	return all
}

func TestFramer(t *testing.T) {
	a, b := msg(0), msg(3000)
	with := func(length string) string { return strings.Replace(msg(5), "Content-Length: 5\r\n", length, 1) }
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"one", a, []string{a}},
		{"two glued", a + b, []string{a, b}},
		{"ping", "\r\n\r\n", []string{"crlf", "crlf"}},
		{"pong", "\r\n", []string{"crlf"}},
		{"half a CRLF", "\r", nil},
		{"ping, message, ping", "\r\n\r\n" + b + "\r\n\r\n" + a + "\r\n", []string{"crlf", "crlf", b, "crlf", "crlf", a, "crlf"}},
		{"unfinished", a + b[:len(b)-1], []string{a}},
		{"compact", with("l:5\r\n") + a, []string{with("l:5\r\n"), a}},
		{"case and blanks", with("cONTENT-lENGTH \t: \t5 \r\n") + a, []string{with("cONTENT-lENGTH \t: \t5 \r\n"), a}},
		{"folded value", with("Content-Length:\r\n 5\r\n") + a, []string{with("Content-Length:\r\n 5\r\n"), a}},
		{"folded name", with("Content-Length\r\n : 5\r\n") + a, []string{with("Content-Length\r\n : 5\r\n"), a}},
		{"other folds", with("Subject: a\r\n l: 7\r\nl: 5\r\n") + a, []string{with("Subject: a\r\n l: 7\r\nl: 5\r\n"), a}},
		{"leading zeros", with("l: 005\r\n") + a, []string{with("l: 005\r\n"), a}},
		{"LF only", strings.ReplaceAll(a, "\r\n", "\n") + b, []string{strings.ReplaceAll(a, "\r\n", "\n"), b}},
		{"missing", with("") + a, []string{"broken large=false"}},
		{"two different", with("l: 5\r\nContent-Length: 6\r\n"), []string{"broken large=false"}},
		{"two equal", with("l: 5\r\nContent-Length: 5\r\n"), []string{"broken large=false"}},
		{"negative", with("l: -5\r\n"), []string{"broken large=false"}},
		{"no number", with("l: five\r\n"), []string{"broken large=false"}},
		{"empty", with("l:\r\n"), []string{"broken large=false"}},
		{"huge", with("l: 99999999999999999999\r\n"), []string{"broken large=false"}},
		{"body over the limit", with("l: 65000\r\n"), []string{"broken large=true"}},
		{"header over the limit", "OPTIONS " + strings.Repeat("x", 70000), []string{"broken large=true"}},
		{"bare CR", "\rOPTIONS", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := cut(65000, c.in); !equal(got, c.want) {
				t.Fatalf("whole:\ngot  %q\nwant %q", got, c.want)
			}
			if got := cut(65000, strings.SplitAfter(c.in, "")...); !equal(got, c.want) {
				t.Fatalf("octet by octet:\ngot  %q\nwant %q", got, c.want)
			}
		})
	}
}

func equal(a, b []string) bool {
	return strings.Join(a, "\x00|") == strings.Join(b, "\x00|")
}

// FuzzFramer: where a stream is split changes nothing, and a message ends
// where message.Parse ends it.
func FuzzFramer(f *testing.F) {
	f.Add("\r\n\r\n"+msg(3)+"\r\n"+msg(0), uint64(1))
	f.Add(strings.Replace(msg(5), "Content-Length: 5", "l\r\n :\r\n 5", 1)+msg(1), uint64(2))
	f.Add(strings.ReplaceAll(msg(5), "\r\n", "\n"), uint64(3))
	f.Add("l:1\n\n\nx:\r\n\r\n", uint64(4))
	f.Fuzz(func(t *testing.T, in string, seed uint64) {
		const limit = 4000
		whole := cut(limit, in)
		rnd := rand.New(rand.NewPCG(seed, 0))
		var pieces []string
		for rest := in; rest != ""; {
			n := 1 + rnd.IntN(min(len(rest), 60))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		if split := cut(limit, pieces...); !equal(whole, split) {
			t.Fatalf("whole:\n%q\nsplit:\n%q", whole, split)
		}
		for _, raw := range whole {
			if raw == "crlf" || strings.HasPrefix(raw, "broken") {
				continue
			}
			m, err := message.Parse(raw, message.Stream)
			if strings.Count(raw, "\n") != strings.Count(raw, "\r\n") || len(m.Lines) == message.MaxHeaders {
				continue // refused before its length matters
			}
			if e, ok := err.(*message.Error); ok && e.Close {
				t.Fatalf("Parse cannot frame %q: %v", raw, err)
			}
			if m.Raw != raw {
				t.Fatalf("Parse ends at %d of %d:\n%q", len(m.Raw), len(raw), raw)
			}
		}
	})
}

// TestReadPathAllocates one string a message, and what Parse needs.
func TestReadPathAllocates(t *testing.T) {
	in := msg(200)
	parse := testing.AllocsPerRun(100, func() { _, _ = message.Parse(in, message.Stream) })
	s := &Stream{frame: framer{limit: message.MaxMessage}, h: nobody{}}
	copy(s.frame.space(), in)
	got := testing.AllocsPerRun(100, func() {
		copy(s.frame.space(), in)
		s.frame.add(len(in))
		if !s.tokens() {
			t.Fatal("no message")
		}
	})
	if got > parse+1 {
		t.Errorf("%v allocations a message, of which Parse makes %v", got, parse)
	}
}

func BenchmarkReadPath(b *testing.B) {
	in := msg(400)
	s := &Stream{frame: framer{limit: message.MaxMessage}, h: nobody{}}
	b.ReportAllocs()
	for b.Loop() {
		s.frame.add(copy(s.frame.space(), in))
		s.tokens()
	}
}
