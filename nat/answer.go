package nat

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/pion/stun/v2"
)

// Answer returns the answer to the STUN Binding request req from a known LAN
// peer (RFC 5626 §8): a success response with the peer's address as we see it,
// or a 420 when req demands what we do not understand (RFC 8489 §6.3.1). ok is
// false when req is anything else: then nothing is sent. Never call it for a
// stranger, who gets silence.
func Answer(req []byte, from netip.AddrPort) (answer []byte, ok bool) {
	m, err := decode(req)
	if err != nil || m.Type != stun.BindingRequest || !from.IsValid() {
		return nil, false
	}
	id := stun.NewTransactionIDSetter(m.TransactionID)
	setters := []stun.Setter{id, stun.BindingSuccess, &stun.XORMappedAddress{
		IP: net.IP(from.Addr().Unmap().AsSlice()), Port: int(from.Port()),
	}}
	if unknown := unknownRequired(m); len(unknown) > 0 {
		setters = []stun.Setter{id, stun.BindingError, stun.CodeUnknownAttribute, unknownAttributes(unknown)}
	}
	if m.Contains(stun.AttrFingerprint) {
		setters = append(setters, stun.Fingerprint)
	}
	out, err := stun.Build(setters...)
	if err != nil {
		return nil, false
	}
	return out.Raw, true
}

// unknownAttributes is UNKNOWN-ATTRIBUTES, 16 bits each (RFC 8489 §14.9);
// pion/stun/v2 writes 32.
func unknownAttributes(types []stun.AttrType) stun.RawAttribute {
	var v []byte
	for _, t := range types {
		v = binary.BigEndian.AppendUint16(v, uint16(t))
	}
	return stun.RawAttribute{Type: stun.AttrUnknownAttributes, Value: v}
}
