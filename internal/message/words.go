package message

import "math/bits"

// Octets are looked at eight at a time where it pays: no assembler, no unsafe.

const (
	ones  = 0x0101010101010101
	highs = ones << 7 // the top bit of each octet
)

// load64 returns the eight octets of s at i, the first one lowest.
func load64(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// zeros has the top bit set of the first zero octet of w, and none when there
// is no zero octet.
func zeros(w uint64) uint64 { return (w - ones) &^ w & highs }

// special returns the offset of the first '"', ',', '<' or stop in s from i
// on, len(s) or more if there is none.
func special(s string, i int, stop byte) int {
	stops := ones * uint64(stop)
	for ; i+8 <= len(s); i += 8 {
		w := load64(s, i)
		// One bit is between a comma and an angle bracket.
		if hit := zeros((w|ones*0x10)^ones*'<') | zeros(w^ones*'"') | zeros(w^stops); hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(s) && s[i] != '"' && s[i] != ',' && s[i] != '<' && s[i] != stop {
		i++
	}
	return i
}

// inURI tells whether all of s may stand in a URI: no blank, control, quote or
// angle bracket.
func inURI(s string) bool {
	if len(s) < 8 {
		return s == "" || all(s, classURI)
	}
	for i := 0; i+8 < len(s); i += 8 {
		if notURI(load64(s, i)) {
			return all(s, classURI)
		}
	}
	return !notURI(load64(s, len(s)-8)) || all(s, classURI)
}

// notURI tells whether an octet of w may not stand in a URI, or is a '!'.
func notURI(w uint64) bool {
	low := (w - ones*0x23) &^ w & highs
	del := (w + ones) &^ w & highs
	return low|del|zeros((w|ones*2)^ones*'>') != 0
}

// visible tells whether nothing in s is a blank or a control.
func visible(s string) bool {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := load64(s, i)
		if (w-ones*0x21)&^w&highs|zeros(w^ones*0x7f) != 0 {
			return false
		}
	}
	for ; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
