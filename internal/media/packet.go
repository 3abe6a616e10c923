package media

import (
	"encoding/binary"
	"math/bits"
)

// A header is what the relay reads of an RTP packet (RFC 3550 §5.1). The bytes
// behind it, and what the packet carries, are never looked at.
type header struct {
	payload uint8
	seq     uint16
	ssrc    uint32
}

// readRTP reads an RTP header. Not ok: STUN, DTLS, RTCP (RFC 7983 §7, RFC 5761
// §4), garbage.
func readRTP(b []byte) (header, bool) {
	if len(b) < 12 || b[0]>>6 != 2 || isRTCP(b) {
		return header{}, false
	}
	return header{
		payload: b[1] & 0x7f,
		seq:     binary.BigEndian.Uint16(b[2:]),
		ssrc:    binary.BigEndian.Uint32(b[8:]),
	}, true
}

// isRTCP reports whether b starts like an RTCP packet (RFC 5761 §4).
func isRTCP(b []byte) bool {
	return len(b) >= 8 && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223
}

// payloads is a set of RTP payload types.
type payloads [2]uint64

func (p *payloads) add(pt uint8) { p[pt>>6&1] |= 1 << (pt & 63) }

func (p *payloads) has(pt uint8) bool { return p[pt>>6&1]>>(pt&63)&1 != 0 }

// spare returns a payload type that nobody negotiated: 20, unassigned in RFC
// 3551 §6, or the next free one above.
func (p *payloads) spare() uint8 {
	free := ^p[0] &^ (1<<20 - 1)
	return uint8(bits.TrailingZeros64(free)) & 63
}

// punchRTP is an RTP packet without payload, of a type the receiver ignores
// (RFC 6263 §4.2).
func punchRTP(pt uint8, seq uint16, ssrc uint32) []byte {
	b := make([]byte, 12)
	b[0], b[1] = 2<<6, pt
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// punchRTCP is a receiver report without a report (RFC 3550 §6.4.2).
func punchRTCP(ssrc uint32) []byte {
	b := []byte{2 << 6, 201, 0, 1, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[4:], ssrc)
	return b
}
