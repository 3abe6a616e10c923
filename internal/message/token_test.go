package message

import (
	"strings"
	"testing"
)

func TestUnfold(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		"a  b":              "a  b",
		"a\r\n b":           "a b",
		"a \t\r\n \t b":     "a b",
		"a\r\n b \r\n\tc":   "a b c",
		"\r\n a":            " a",
		"a  b\r\n c  d":     "a  b c  d",
		"\"x\r\n y\" ; \tz": "\"x y\" ; \tz",
	} {
		if got := Unfold(in); got != want {
			t.Errorf("Unfold(%q) = %q, want %q", in, got, want)
		}
	}
	v := "plain value"
	if n := testing.AllocsPerRun(10, func() { Unfold(v) }); n != 0 {
		t.Errorf("unfolding what has no fold: %v allocations", n)
	}
}

func TestEqualFold(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"a", "A", true},
		{"Tag", "tAG", true},
		{"tag", "tags", false},
		{"[", "{", false},
		{"@", "`", false},
		{"\r", "-", false},
		{"ü", "Ü", false},
		{"a1-", "A1-", true},
	} {
		if EqualFold(c.a, c.b) != c.want {
			t.Errorf("EqualFold(%q, %q) = %v", c.a, c.b, !c.want)
		}
	}
}

func TestQuotedEnd(t *testing.T) {
	for in, want := range map[string]int{
		`""`: 2, `"a"b`: 3, `"a\"b"c`: 6, `"\\"x"`: 4, `"\\\""x`: 6, `"`: 2, `"ab`: 4, `"a\"`: 5, `"a\`: 4,
	} {
		if got := quotedEnd(in, 0); got != want {
			t.Errorf("quotedEnd(%q) = %d, want %d", in, got, want)
		}
	}
}

// TestWords compares what looks at eight octets with what looks at one.
func TestWords(t *testing.T) {
	for c := range 256 {
		for size := range 20 {
			for at := range size {
				s := strings.Repeat("a", at) + string([]byte{byte(c)}) + strings.Repeat("a", size-at-1)
				wantURI := all(s, classURI)
				if got := inURI(s); got != wantURI {
					t.Fatalf("inURI(%q) = %v", s, got)
				}
				if got, want := visible(s), size == 0 || c > ' ' && c != 0x7f; got != want {
					t.Fatalf("visible(%q) = %v", s, got)
				}
				want := strings.IndexAny(s, "\",<;")
				if want < 0 {
					want = len(s)
				}
				if got := min(special(s, 0, ';'), len(s)); got != want {
					t.Fatalf("special(%q) = %d, want %d", s, got, want)
				}
			}
		}
	}
	for _, s := range []string{"", "\xff\x7f......", "\xff\xff\xff\x7e\xff\xff\xff\xff", "!!!!!!!!!", "\x80\x7f\x80\x7f\x80\x7f\x80\x7f"} {
		if got, want := inURI(s), s == "" || all(s, classURI); got != want {
			t.Errorf("inURI(%q) = %v", s, got)
		}
	}
}

func TestParseUint(t *testing.T) {
	for _, c := range []struct {
		s    string
		max  uint64
		want uint64
		ok   bool
	}{
		{"0", 9, 0, true},
		{"0070", 255, 70, true},
		{"255", 255, 255, true},
		{"256", 255, 0, false},
		{"4294967295", 1<<32 - 1, 1<<32 - 1, true},
		{"4294967296", 1<<32 - 1, 0, false},
		{"18446744073709551615", 1<<64 - 1, 1<<64 - 1, true},
		{"18446744073709551616", 1<<64 - 1, 0, false},
		{"36893488147419103232", 1<<64 - 1, 0, false},
		{strings.Repeat("0", 40) + "7", 9, 7, true},
		{"", 9, 0, false},
		{"-1", 9, 0, false},
		{"+1", 9, 0, false},
		{" 1", 9, 0, false},
		{"1 ", 9, 0, false},
		{"0x1", 99, 0, false},
		{"1e1", 99, 0, false},
		{"9", 5, 0, false},
		{"5", 5, 5, true},
	} {
		if n, ok := ParseUint(c.s, c.max); ok != c.ok || ok && n != c.want {
			t.Errorf("ParseUint(%q, %d) = %d, %v", c.s, c.max, n, ok)
		}
	}
}
