package proxy

import (
	"errors"
	"net/netip"
	"time"

	"pinhole/internal/binding"
	"pinhole/internal/message"
	"pinhole/nat"
	"pinhole/rewrite"
)

// pendingLease is the lease of a phone whose registration has to wait, in
// seconds: soon enough to come back, and no error, after which many phones sleep
// for half an hour.
const pendingLease = 30

var errStale = errors.New("the phone has to register again: our public address has changed")

// A recovery brings the phones of an upstream back after its mapped tuple has
// changed: what the registrar holds for them leads nowhere. None of them needs
// to be asked for a password, each needs one REGISTER of its own, and all
// together must not be a storm.
type recovery struct {
	tuple  netip.AddrPort // the last one that the provider confirmed
	lost   []PathID       // LAN connections to close, one a slot: their phones come back at once
	slot   *timer
	tokens float64 // REGISTERs that may go up now
	filled time.Time
}

// stale reports whether the registrar holds an alias at another tuple than ours
// is now. Without the provider's own word on the tuple nothing is.
func (up *upstream) stale(b *binding.Binding) bool {
	return b.Live && !b.Transient && b.Tuple.IsValid() && up.mapping.Witness() == nat.Response && b.Tuple != up.mapping.Tuple()
}

// recoverPhones lets phones on connections know that they are lost: in their
// slots their connections are closed, which makes them register again. A UDP
// phone comes with its next refresh.
func (c *Core) recoverPhones(now time.Time, up *upstream) {
	seen, n := map[PathID]bool{}, 0
	up.recovery.lost = up.recovery.lost[:0]
	for _, b := range c.bindings.Live(up.Name) {
		if !up.stale(b) {
			continue
		}
		n++
		p := c.paths[PathID(b.From.Path)]
		if p != nil && p.Proto.Reliable() && !seen[p.ID] {
			seen[p.ID] = true
			up.recovery.lost = append(up.recovery.lost, p.ID)
		}
	}
	if n == 0 {
		return
	}
	c.log.Warn("phones must register again", "upstream", up.Name, "phones", n, "on_connections", len(up.recovery.lost),
		"cause", "our public address has changed", "remedy", "none needed: each is found again after its next refresh")
	if len(up.recovery.lost) > 0 {
		c.arm(up.recovery.slot, now)
	}
}

// nextSlot closes the connection of one lost phone, never with a transaction of
// it under way.
func (c *Core) nextSlot(now time.Time, up *upstream) {
	lost := up.recovery.lost
	if len(lost) == 0 {
		return
	}
	id := lost[0]
	up.recovery.lost = lost[1:]
	switch {
	case c.paths[id] == nil:
	case c.underWay(id):
		up.recovery.lost = append(up.recovery.lost, id)
	default:
		c.emit(Output{Kind: Close, Path: id, Err: errStale})
	}
	if len(up.recovery.lost) > 0 {
		c.arm(up.recovery.slot, now.Add(time.Second/time.Duration(up.Rate)))
	}
}

// underWay reports whether a transaction with a phone's connection waits for its
// final response.
func (c *Core) underWay(id PathID) bool {
	for _, s := range c.servers {
		if s.from.path.ID == id && s.tx.Final() == 0 {
			return true
		}
	}
	for _, cl := range c.clients {
		if cl != nil && cl.to.pathID() == id && cl.raw != nil && cl.tx.Final() == 0 {
			return true
		}
	}
	return false
}

// mustWait reports whether a REGISTER is one of too many after a change: only
// those of lost phones count, and never the answer to a challenge.
func (up *upstream) mustWait(now time.Time, r *registration) bool {
	lost := false
	for _, k := range r.contacts {
		lost = lost || k.binding != nil && up.stale(k.binding)
	}
	if !lost || r.series.Challenged {
		return false
	}
	v := &up.recovery
	rate := float64(up.Rate)
	if v.filled.IsZero() {
		v.tokens = rate
	} else {
		v.tokens = min(rate, v.tokens+rate*now.Sub(v.filled).Seconds())
	}
	v.filled = now
	if v.tokens < 1 {
		return true
	}
	v.tokens--
	return false
}

// known reports whether a REGISTER asks only for what its phone has already: same
// source, same Contacts, all of them live.
func (c *Core) known(s *server) bool {
	for _, k := range s.reg.contacts {
		b := k.binding
		if b == nil || !b.Live || k.seconds == 0 || b.From.Addr.Addr() != s.from.addr.Addr() || !rewrite.SameURI(b.URI, k.name.URI) {
			return false
		}
	}
	return len(s.reg.contacts) > 0
}

// keepWaiting answers a REGISTER of a known phone by ourselves with a short
// lease, until it can be sent on.
func (c *Core) keepWaiting(now time.Time, s *server) {
	headers := make([]string, 0, len(s.reg.contacts))
	for _, k := range s.reg.contacts {
		lease := pendingLease
		if k.seconds != unasked {
			lease = min(lease, k.seconds)
		}
		k.binding.From = s.from.source()
		k.binding.LAN = now.Add(time.Duration(lease) * time.Second)
		headers = append(headers, message.Contact.String()+": "+rewrite.PhoneContact(k.element, "", lease))
	}
	c.emit(Output{Kind: KeepOpen, Path: s.from.path.ID})
	c.answer(now, s, 200, "OK", headers...)
}
