// Package nat learns the public address of a socket it is given (STUN Binding,
// RFC 8489; over TCP from a flow's own port too) and holds what we believe of
// one flow's mapped tuple, from which witness, since when (RFC 3581 §4, RFC
// 5626 §4.4.2). It owns no goroutine and no socket but the one connection of
// ProbeTCP; Prober and Mapping are pure values that never look at the clock.
package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"

	"github.com/pion/stun/v2"
)

const (
	headerSize     = 20
	attrHeaderSize = 4
	magicCookie    = 0x2112A442

	// attrXORMappedOld is XOR-MAPPED-ADDRESS as drafts before RFC 5389
	// numbered it; pion/stun decodes it as the present one.
	attrXORMappedOld stun.AttrType = 0x8020

	fingerprintXOR = 0x5354554e // RFC 8489 §14.7
)

// addressAttrs are the attributes that hold an address: their decoders in
// pion/stun/v2 slice the value before they look at its length.
var addressAttrs = []stun.AttrType{
	stun.AttrMappedAddress, stun.AttrSourceAddress, stun.AttrChangedAddress,
	stun.AttrXORPeerAddress, stun.AttrXORRelayedAddress,
	stun.AttrXORMappedAddress, attrXORMappedOld,
	stun.AttrAlternateServer, stun.AttrResponseOrigin, stun.AttrOtherAddress,
}

// fixedAttrs are the attributes whose value has one legal length.
var fixedAttrs = map[stun.AttrType]int{
	stun.AttrMessageIntegrity:   20,
	stun.AttrFingerprint:        4,
	stun.AttrChannelNumber:      4,
	stun.AttrLifetime:           4,
	stun.AttrRequestedTransport: 4,
	stun.AttrChangeRequest:      4,
}

// IsSTUN reports whether b starts like a STUN message: first byte 0 to 3 and
// the magic cookie (RFC 7983 §7). It says nothing of the rest; see Validate.
func IsSTUN(b []byte) bool {
	return len(b) >= headerSize && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == magicCookie
}

// Validate is the guard in front of every decoder of pion/stun and pion/turn:
// it returns nil when b is one whole STUN message (RFC 8489 §5), no byte more,
// whose attributes lie inside it and whose addresses, fixed-size values and
// FINGERPRINT are well formed. Unknown attributes pass. It does not look at
// source, transaction or integrity.
func Validate(b []byte) error {
	if !IsSTUN(b) {
		return errors.New("reading stun: no stun header")
	}
	if size := int(binary.BigEndian.Uint16(b[2:])); size%4 != 0 || headerSize+size != len(b) {
		return fmt.Errorf("reading stun: length %d in a message of %d bytes", size, len(b))
	}
	for at := headerSize; at < len(b); {
		if len(b)-at < attrHeaderSize {
			return fmt.Errorf("reading stun: %d stray bytes at the end", len(b)-at)
		}
		t := stun.AttrType(binary.BigEndian.Uint16(b[at:]))
		n := int(binary.BigEndian.Uint16(b[at+2:]))
		end := at + attrHeaderSize + n
		if padded := (end + 3) &^ 3; padded > len(b) {
			return fmt.Errorf("reading stun: attribute 0x%04x of %d bytes passes the end", uint16(t), n)
		} else if err := validateAttr(b, t, at, b[at+attrHeaderSize:end]); err != nil {
			return err
		} else {
			at = padded
		}
	}
	return nil
}

// validateAttr checks the value v of the attribute t which starts at offset at
// of the message b.
func validateAttr(b []byte, t stun.AttrType, at int, v []byte) error {
	if want, ok := fixedAttrs[t]; ok && len(v) != want {
		return fmt.Errorf("reading stun: attribute 0x%04x of %d bytes", uint16(t), len(v))
	}
	switch {
	case slices.Contains(addressAttrs, t):
		v4 := len(v) == 8 && v[1] == 1
		v6 := len(v) == 20 && v[1] == 2
		if !v4 && !v6 || v[0] != 0 {
			return fmt.Errorf("reading stun: address attribute 0x%04x with value %x", uint16(t), v)
		}
	case t == stun.AttrErrorCode && len(v) < 4, t == stun.AttrUnknownAttributes && len(v)%2 != 0:
		return fmt.Errorf("reading stun: attribute 0x%04x of %d bytes", uint16(t), len(v))
	case t == stun.AttrFingerprint:
		if at+attrHeaderSize+4 != len(b) {
			return errors.New("reading stun: fingerprint is not the last attribute")
		}
		if binary.BigEndian.Uint32(v) != crc32.ChecksumIEEE(b[:at])^fingerprintXOR {
			return errors.New("reading stun: wrong fingerprint")
		}
	}
	return nil
}

// decode is Validate and stun.Decode in one.
func decode(b []byte) (*stun.Message, error) {
	if err := Validate(b); err != nil {
		return nil, err
	}
	m := stun.New()
	if err := stun.Decode(b, m); err != nil {
		return nil, fmt.Errorf("reading stun: %w", err)
	}
	return m, nil
}

// understood are the comprehension-required attributes (below 0x8000) that a
// Binding exchange may carry; RFC 3489 servers send the second line.
var understood = []stun.AttrType{
	stun.AttrMappedAddress, stun.AttrXORMappedAddress, stun.AttrErrorCode, stun.AttrUnknownAttributes,
	0x0002, stun.AttrSourceAddress, stun.AttrChangedAddress, 0x000B,
	stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrRealm, stun.AttrNonce,
	0x001C, stun.AttrPasswordAlgorithm, stun.AttrUserhash,
}

// unknownRequired returns the comprehension-required attributes of m that
// nobody here understands.
func unknownRequired(m *stun.Message) []stun.AttrType {
	var unknown []stun.AttrType
	for _, a := range m.Attributes {
		if a.Type < 0x8000 && !slices.Contains(understood, a.Type) {
			unknown = append(unknown, a.Type)
		}
	}
	return unknown
}

// mappedAddress reads XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS of an RFC 3489
// server.
func mappedAddress(m *stun.Message) (netip.AddrPort, error) {
	var x stun.XORMappedAddress
	if err := x.GetFrom(m); err != nil {
		var plain stun.MappedAddress
		if err := plain.GetFrom(m); err != nil {
			return netip.AddrPort{}, errors.New("reading stun: answer without a mapped address")
		}
		x.IP, x.Port = plain.IP, plain.Port
	}
	ip, ok := netip.AddrFromSlice(x.IP)
	addr := netip.AddrPortFrom(ip.Unmap(), uint16(x.Port))
	if !ok || addr.Port() == 0 || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast() {
		return netip.AddrPort{}, fmt.Errorf("reading stun: impossible mapped address %v", addr)
	}
	return addr, nil
}

// bindingRequest returns the bytes of a new Binding request. It carries no
// address and no software name; the fingerprint tells it from other protocols
// on the same port (RFC 8489 §7).
func bindingRequest() []byte {
	return stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint).Raw
}
