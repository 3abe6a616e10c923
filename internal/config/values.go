package config

import (
	"net"
	"net/netip"
	"strconv"
)

// Transport is how SIP is carried.
type Transport string

// Listen.Transports has the first three; Auto leaves the choice to DNS
// (RFC 3263 §4.1) and is for an upstream alone.
const (
	UDP  Transport = "udp"
	TCP  Transport = "tcp"
	TLS  Transport = "tls"
	Auto Transport = "auto"
)

// TLSIdentity says which names in a provider's certificate are good.
type TLSIdentity string

// IdentityWildcard takes the rules of RFC 5922 §7.2 and one left-most wildcard
// label; IdentityRFC5922 takes the rules alone.
const (
	IdentityWildcard TLSIdentity = "wildcard"
	IdentityRFC5922  TLSIdentity = "rfc5922"
)

// ViaHost is the sent-by of our Via: an ALG alters messages whose sent-by is
// the flow's own address and port.
type ViaHost string

// ViaAuto starts with ViaInvalid on plaintext and falls back by itself.
const (
	ViaAuto    ViaHost = "auto"
	ViaInvalid ViaHost = "invalid" // NAME.invalid
	ViaPort    ViaHost = "port"    // the mapped address with another port
	ViaMapped  ViaHost = "mapped"  // the mapped address and port
)

// Token says where in the registered Contact the token stands.
type Token string

// The three places of the token.
const (
	TokenParam Token = "param" // a URI parameter
	TokenUser  Token = "user"  // the user part
	TokenBoth  Token = "both"
)

// ICE says what becomes of ICE in SDP.
type ICE string

// Strip removes the attributes of ICE, so that both sides use the relay;
// Pass leaves them.
const (
	ICEStrip ICE = "strip"
	ICEPass  ICE = "pass"
)

// AdvertiseMode tells where the address in Contact and SDP comes from.
type AdvertiseMode string

// The modes; an address of its own makes the mode AdvertiseAddress.
const (
	AdvertiseAuto    AdvertiseMode = "auto"    // what the provider and STUN see
	AdvertisePublic  AdvertiseMode = "public"  // the same, but never a private address
	AdvertisePrivate AdvertiseMode = "private" // the flow's own address
	AdvertiseAddress AdvertiseMode = "address" // Advertise.Addr
)

// Advertise is nat.advertise.
type Advertise struct {
	Mode AdvertiseMode
	Addr netip.Addr // valid if and only if Mode is AdvertiseAddress
}

// KeepAlive says whether the flow is kept open through NATs.
type KeepAlive string

// Auto sends what the transport and the provider want, as often as they want
// it; Off sends nothing: who is behind a NAT then loses inbound calls.
const (
	KeepAliveAuto KeepAlive = "auto"
	KeepAliveOff  KeepAlive = "off"
)

// Host is a host name or an IP literal with a port. The zero Host is none.
type Host struct {
	Name string // lower case; an IPv6 literal has no brackets
	Port uint16 // 0: not written
}

// String returns the host as it is written in the file.
func (h Host) String() string {
	if h.Port != 0 {
		return net.JoinHostPort(h.Name, strconv.Itoa(int(h.Port)))
	}
	return h.Name
}

// PortRange is a range of UDP ports, both ends included. First is even and
// Last is odd, so that it holds whole RTP and RTCP pairs (RFC 3550 §11).
type PortRange struct{ First, Last uint16 }

// Contains tells whether the range holds port.
func (r PortRange) Contains(port uint16) bool { return r.First <= port && port <= r.Last }

// String returns the range as it is written in the file.
func (r PortRange) String() string {
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}
