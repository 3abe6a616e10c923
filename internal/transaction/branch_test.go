package transaction

import (
	"strings"
	"testing"
)

func TestBranch(t *testing.T) {
	for want, b := range map[string]Branch{
		"z9hG4bK000000000000000000000000": NewBranch(0, 0),
		"z9hG4bK00000007fedcba9876543210": NewBranch(7, 0xfedcba9876543210),
		"z9hG4bKffffffffffffffffffffffff": {1<<32 - 1, 1<<64 - 1},
	} {
		if got := b.String(); got != want {
			t.Errorf("%+v: %q, want %q", b, got, want)
		}
		if got, ok := ParseBranch(want); got != b || !ok {
			t.Errorf("%q: %+v, %v", want, got, ok)
		}
	}
}

// TestBranchForeign: what a response may name that is not a branch of ours.
func TestBranchForeign(t *testing.T) {
	ours := NewBranch(0xabcdef01, 0x0123456789abcdef).String()
	for _, s := range []string{
		"",
		"z9hG4bK",
		ours[len(Cookie):],
		ours[:len(ours)-1],
		ours + "0",
		ours + " ",
		" " + ours,
		strings.ToLower(ours),
		strings.ToUpper(ours),
		Cookie + strings.ToUpper(ours[len(Cookie):]),
		strings.Replace(ours, "z9hG4bK", "z9hG4bk", 1),
		strings.Replace(ours, "a", "g", 1),
		strings.Replace(ours, "a", "+", 1),
		strings.Replace(ours, "a", "_", 1),
		strings.Replace(ours, "a", "\x00", 1),
		ours[:len(ours)-2] + "é",
	} {
		if b, ok := ParseBranch(s); ok || b != (Branch{}) {
			t.Errorf("%q was taken as ours: %+v", s, b)
		}
	}
}

func FuzzParseBranch(f *testing.F) {
	f.Add("z9hG4bK00000007fedcba9876543210")
	f.Add("z9hG4bK00000007FEDCBA9876543210")
	f.Add("z9hG4bK")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		b, ok := ParseBranch(s)
		if ok != (b.String() == s) {
			t.Errorf("%q: %+v, %v, but it is written %q", s, b, ok, b.String())
		}
	})
}
