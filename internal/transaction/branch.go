package transaction

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// Cookie starts every branch that is unique by itself (RFC 3261 §8.1.1.7).
const Cookie = "z9hG4bK"

// Branch is the branch of a Via of ours: the slot of the client transaction in
// its owner's table, so that a response needs no map look-up, and 64 random
// bits, so that a late or forged one never meets a reused slot. Compare Branches
// whole.
type Branch struct {
	Slot   uint32
	Random uint64
}

// NewBranch returns the branch of a slot; random must come from crypto/rand.
func NewBranch(slot uint32, random uint64) Branch { return Branch{slot, random} }

const branchLen = len(Cookie) + 2*(4+8)

// String returns the branch parameter's value.
func (b Branch) String() string {
	var dst [branchLen]byte
	return string(b.Append(dst[:0]))
}

// Append appends the branch parameter's value to dst.
func (b Branch) Append(dst []byte) []byte {
	var raw [12]byte
	binary.BigEndian.PutUint32(raw[:], b.Slot)
	binary.BigEndian.PutUint64(raw[4:], b.Random)
	return hex.AppendEncode(append(dst, Cookie...), raw[:])
}

// ParseBranch reads what String wrote; anything else, another case included, is
// not ours.
func ParseBranch(s string) (Branch, bool) {
	digits, ok := strings.CutPrefix(s, Cookie)
	if !ok || len(s) != branchLen {
		return Branch{}, false
	}
	slot, ok1 := parseHex(digits[:8])
	random, ok2 := parseHex(digits[8:])
	if !ok1 || !ok2 {
		return Branch{}, false
	}
	return Branch{uint32(slot), random}, true
}

// parseHex reads at most 16 lower-case hexadecimal digits. strconv would take
// upper case too.
func parseHex(s string) (n uint64, ok bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
