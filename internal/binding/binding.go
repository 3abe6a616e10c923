// Package binding remembers who is registered where, and the aliases that stand
// for them at the provider (RFC 3261 §10, RFC 5626 §4). It holds values only: no
// I/O, no goroutine; its owner serialises access.
package binding

import (
	"net/netip"
	"time"
)

// Source is where a phone's messages come from and go to.
type Source struct {
	Path     uint32         // the socket or connection, as its owner numbers them; 0: gone
	Listener string         // name of the listener, to find a UDP socket again after a restart
	Proto    string         // "UDP", "TCP", "TLS"
	Addr     netip.AddrPort // the phone's address
}

// A Series is all REGISTERs of one identity (upstream, AOR, instance): it has a
// Call-ID and CSeq of our own upstream, and one REGISTER in flight at a time.
type Series struct {
	ID         string // canonical identity, the seed of tokens; never changes
	Upstream   string
	AOR        string // user@host, host in lower case
	User       string // the AOR's user part, as written
	Instance   string // +sip.instance and reg-id, "" without
	PhoneID    string // the phone's REGISTER Call-ID
	CallID     string // ours
	CSeq       uint32 // the last one used
	Busy       bool   // a REGISTER is under way
	Challenged bool   // the last one was answered with a challenge
	Bindings   []*Binding
}

// A Binding is one contact of one phone.
type Binding struct {
	Series    *Series
	Index     int    // which contact of the series' REGISTER, from 0
	Token     string // 16 characters [a-z0-9], constant
	Element   string // the Contact element as the phone wrote it
	URI       string // the URI in it
	From      Source
	Alias     string         // the URI that the registrar holds for it, "" before the first
	Old       string         // an earlier alias that the registrar may still hold
	Tuple     netip.AddrPort // the mapped tuple in Alias, zero where none was known
	Gen       uint64         // the flow generation in which the registrar accepted it
	Upstream  time.Time      // end of the lease at the registrar
	LAN       time.Time      // end of the lease given to the phone
	Live      bool           // committed: the registrar accepted it and it has not ended
	Transient bool           // made for the dialogs of a phone that never registered
}

// Ends returns when the binding lapses: the registrar's lease, for the phone's
// own may be made shorter by us without it knowing.
func (b *Binding) Ends() time.Time {
	if b.LAN.After(b.Upstream) {
		return b.LAN
	}
	return b.Upstream
}
