package message

import (
	"strings"
	"testing"
)

// named looks a header name up the slow way.
func named(name string) Header {
	if len(name) == 1 {
		return compactForm(name[0] | 0x20)
	}
	for h := Via; h < numHeaders; h++ {
		if EqualFold(h.String(), name) {
			return h
		}
	}
	return Other
}

func TestHeaderNames(t *testing.T) {
	var all []string
	for h := Via; h < numHeaders; h++ {
		if h.String() == "" {
			t.Fatalf("header %d has no name", h)
		}
		all = append(all, h.String())
	}
	for c := byte('a'); c <= 'z'; c++ {
		all = append(all, string(c))
	}
	for _, name := range all {
		forms := []string{name, strings.ToLower(name), strings.ToUpper(name), name + "x", "x" + name, name[1:], name[:len(name)-1]}
		for i := range name {
			for _, c := range []string{"-", "x", "\x00", "\x0d", "@", "`", "{", " "} {
				forms = append(forms, name[:i]+c+name[i+1:])
			}
		}
		for _, form := range forms {
			if form == "" || !isToken(form) {
				continue
			}
			want := named(form)
			for _, line := range []string{form + ": x\r\n\r\n", form + ":\r\n"} {
				raw := "NOTIFY a:b SIP/2.0\r\n" + line
				m, _ := Parse(raw, Datagram)
				if len(m.Lines) != 1 || m.Lines[0].ID != want || m.Name(m.Lines[0]) != form {
					t.Errorf("%q: %+v, want %s", line, m.Lines, want)
				}
			}
		}
	}
}

func TestHeaderBlanksBeforeColon(t *testing.T) {
	for _, line := range []string{"Via :", "v\t:", "VIA \t :", "via\r\n :", "v\r\n\t\r\n :"} {
		m, _ := Parse("A a:b SIP/2.0\r\n"+line+"x\r\n\r\n", Datagram)
		if got := m.Get(Via); got != "x" || m.Count(Via) != 1 {
			t.Errorf("%q: value %q, %d lines", line, got, m.Count(Via))
		}
	}
}

func TestHeaderStringOfUnknown(t *testing.T) {
	if Other.String() != "" || numHeaders.String() != "" || Header(255).String() != "" {
		t.Error("a name for what has none")
	}
}
