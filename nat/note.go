package nat

// A Note is something about a mapped address that an administrator should
// read in the log once. 0 is none.
type Note uint8

// The notes.
const (
	_               Note = iota
	NoReceived           // an answer without received
	NoPort               // an answer with received, without rport
	Impossible           // an unspecified or multicast address
	PrivateReceived      // received is private, neither ours nor the provider's kind
	PrivateSTUN          // STUN sees a private address
	CarrierNAT           // an address between two NATs
	STUNDiffers          // STUN and provider see different addresses
	Flapping             // the provider sees us at several tuples in turn
	Doubt                // STUN sees that the mapping moved
	RouterEdits          // an ALG is proven
)

// String returns the note in an administrator's words, cause and remedy; ""
// for 0.
func (n Note) String() string {
	return [...]string{
		"",
		"the provider's answers do not tell the address it sees; using what stun tells",
		"the provider's answers tell the address it sees, but no port; using the port stun tells, else our own, unverified",
		"ignoring an impossible mapped address",
		"ignoring a private address in the provider's answer that is not ours: something on the way edits sip; use tls, or switch off sip alg in the router",
		"ignoring a private address from stun: that server is on our side of the nat; choose another",
		"the mapped address is in the carrier's shared space: there is a second nat behind ours",
		"stun and the provider see different addresses, the provider's counts: several internet lines, a vpn or a carrier's address pool",
		"the provider sees us at several addresses or ports in turn; keeping the known one for now",
		"stun sees another address or port than before; asking the provider",
		"a router changes our sip messages; use tls, or switch off sip alg in the router",
	}[n]
}
