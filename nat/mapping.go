package nat

import (
	"net/netip"
	"time"
)

// Witness says who told us a mapped tuple; a higher one outranks a lower.
type Witness uint8

// The witnesses.
const (
	Nobody   Witness = iota
	Memory           // the tuple of the flow before it was re-made, or of the last run
	STUN             // a STUN server: a guess of what the provider sees
	Response         // received and rport of the provider's own answer on this flow
)

// String returns the witness as the log names it.
func (w Witness) String() string {
	return [...]string{"nobody", "memory", "stun", "provider"}[w]
}

const (
	// hold is how long after a declared change no other one is declared. It
	// doubles, up to holdMax, with each change that follows within four times
	// of it: a provider whose farm sees us at two addresses in turn must cost
	// no endless re-registering (RFC 3581 §4 does not know of farms).
	hold    = 30 * time.Second
	holdMax = time.Hour

	// swings is how many differing answers in a row without two equal ones
	// are called flapping.
	swings = 3
)

// A Mapping is what we believe of the mapped tuple of one flow: the address
// and port that the provider sees, and which its Contact must carry to be
// reached (RFC 3261 §18). The provider's own answers are the truth: one is
// enough to know the tuple, two equal ones in a row declare that a known one
// changed. STUN gives it before the first answer, and watches it.
//
// The zero Mapping knows nothing. It is a plain value that never looks at the
// clock; not safe for concurrent use.
type Mapping struct {
	tuple    netip.AddrPort
	witness  Witness
	verified bool // the provider itself named the port
	since    time.Time

	stun      netip.AddrPort // STUN's last word
	confirmed bool           // STUN equalled the tuple: it may declare a change
	stunWrong bool           // it did, and the provider contradicted

	candidate netip.AddrPort // what may become the next tuple
	votes     int            // how often in a row it was seen
	swings    int            // differing answers since the last equal one
	moved     time.Time      // the last declared change
	hold      time.Duration  // no other one until so long after it

	alg   ALG
	noted uint32 // bit set of the notes given
}

// Tuple returns the mapped tuple, zero while nothing is known.
func (m *Mapping) Tuple() netip.AddrPort { return m.tuple }

// Known reports whether there is a tuple, from whatever witness.
func (m *Mapping) Known() bool { return m.tuple.IsValid() }

// Verified reports whether the provider itself named address and port.
func (m *Mapping) Verified() bool { return m.verified }

// Witness returns who told the tuple.
func (m *Mapping) Witness() Witness { return m.witness }

// Since returns when the tuple was first told, zero while nothing is known.
func (m *Mapping) Since() time.Time { return m.since }

// NATed reports whether a NAT stands between the flow, whose local address is
// local, and the provider. Without a tuple it is true: better one keep-alive
// too many.
func (m *Mapping) NATed(local netip.Addr) bool {
	return !m.Known() || m.tuple.Addr() != local.Unmap()
}

// Renew tells that the flow was made anew from the same local address: the
// tuple is kept as a guess, and one answer of the provider settles it again.
func (m *Mapping) Renew() {
	m.Restore(m.tuple)
}

// Restore makes tuple, as the state file or an earlier flow knew it, a guess.
func (m *Mapping) Restore(tuple netip.AddrPort) {
	m.tuple, m.witness, m.verified = tuple, Memory, false
	if !tuple.IsValid() {
		m.witness = Nobody
	}
	m.stunWrong = false
	m.candidate, m.votes, m.swings = netip.AddrPort{}, 0, 0
}

// Observe takes in what the witness w, STUN or Response, says at now: got is
// STUN's mapped address, or received and rport of the top Via of a provider's
// answer on this flow (an invalid address when received is missing, port 0
// when rport is). local is the flow's own address and port, provider where it
// leads to.
//
// changed is true whenever Tuple is another one than before, the first
// included; never for a second thought within the hold time. note, if not
// zero, is a line for the log; each kind is given once in a tuple's time.
func (m *Mapping) Observe(w Witness, got, local netip.AddrPort, provider netip.Addr, now time.Time) (changed bool, note Note) {
	got, local, provider = unmap(got), unmap(local), provider.Unmap()
	ok, doubt := plausible(w, got.Addr(), local.Addr(), provider)
	switch {
	case !ok:
		return false, m.once(doubt)
	case w == STUN:
		changed, note = m.observeSTUN(got, now)
	default:
		changed, note = m.observeResponse(got, local, now)
	}
	if note == 0 {
		note = m.once(doubt)
	}
	return changed, note
}

// plausible judges an address before it is believed.
func plausible(w Witness, got, local, provider netip.Addr) (bool, Note) {
	switch {
	case !got.IsValid():
		return false, NoReceived
	case got.IsUnspecified() || got.IsMulticast():
		return false, Impossible
	case got == local:
		return true, 0 // no NAT
	case private(got) && !private(provider) && !shared.Contains(provider):
		if w == STUN {
			return false, PrivateSTUN
		}
		return false, PrivateReceived
	case shared.Contains(got) && !shared.Contains(provider):
		return true, CarrierNAT
	}
	return true, 0
}

// observeResponse takes in a plausible received and rport.
func (m *Mapping) observeResponse(got, local netip.AddrPort, now time.Time) (bool, Note) {
	verified := got.Port() != 0
	if !verified {
		got, verified = m.guessPort(got.Addr(), local)
		if m.witness == Response && got == m.tuple {
			return false, 0 // no rport again: no news
		}
	}
	if m.witness != Response {
		return m.learn(got, verified, now)
	}
	if got == m.tuple {
		m.verified = m.verified || verified
		m.candidate, m.votes, m.swings = netip.AddrPort{}, 0, 0
		if m.stun.IsValid() {
			m.confirmed = m.stun == got && !m.stunWrong
		}
		return false, 0
	}
	if !m.verified && verified && got.Addr() == m.tuple.Addr() {
		return m.learn(got, true, now) // the port was only guessed until now
	}
	votes := 1
	if got == m.stun && m.confirmed {
		votes = 2 // STUN, right until now, saw it move too
	}
	return m.vote(Response, got, verified, votes, now)
}

// guessPort completes a received without rport (servers that answer RFC 3581
// only over UDP): no NAT, no guess; else the port known for that address, as
// STUN sees it, or our own, as most NATs keep it.
func (m *Mapping) guessPort(addr netip.Addr, local netip.AddrPort) (got netip.AddrPort, verified bool) {
	switch addr {
	case local.Addr():
		return local, true
	case m.tuple.Addr():
		return m.tuple, false
	case m.stun.Addr():
		return m.stun, false
	}
	return netip.AddrPortFrom(addr, local.Port()), false
}

// learn takes the provider's first word on this flow.
func (m *Mapping) learn(got netip.AddrPort, verified bool, now time.Time) (changed bool, note Note) {
	if m.witness == STUN && m.moved == m.since && got != m.tuple && !m.moved.IsZero() {
		m.stunWrong = true // STUN had declared a change that was none
	}
	changed = m.set(Response, got, verified, now)
	switch {
	case m.stun.IsValid() && m.stun.Addr() != got.Addr():
		note = STUNDiffers
	case !verified:
		note = NoPort
	}
	return changed, m.once(note)
}

// observeSTUN takes in a plausible mapped address.
func (m *Mapping) observeSTUN(got netip.AddrPort, now time.Time) (bool, Note) {
	before := m.stun
	m.stun = got
	switch {
	case m.witness == Memory && got.Addr() == m.tuple.Addr() && !m.confirmed:
		// The port behind a NAT that maps by destination: the provider's
		// older word is the better guess.
		m.confirmed = got == m.tuple
		return false, 0
	case m.witness < STUN:
		return m.set(STUN, got, false, now), 0
	case got == m.tuple:
		m.confirmed = !m.stunWrong
		return false, 0
	case m.witness == STUN:
		return m.vote(STUN, got, false, 1, now)
	case !m.verified && got.Addr() == m.tuple.Addr() && !before.IsValid():
		return m.set(Response, got, false, now), 0
	case m.confirmed, !m.verified && got.Addr() == m.tuple.Addr():
		return m.vote(STUN, got, false, 1, now)
	case before.IsValid() && before.Addr() != got.Addr():
		return false, Doubt
	case got.Addr() != m.tuple.Addr():
		return false, m.once(STUNDiffers)
	}
	return false, 0
}

// vote counts w's word against the known tuple. The second in a row, or two
// witnesses at once, change it, unless a change was declared too recently.
func (m *Mapping) vote(w Witness, got netip.AddrPort, verified bool, votes int, now time.Time) (bool, Note) {
	if got != m.candidate {
		m.candidate, m.votes = got, 0
	}
	m.votes += votes
	if m.votes < 2 {
		if w == STUN {
			return false, Doubt
		}
		if m.swings++; m.swings >= swings {
			return false, m.once(Flapping)
		}
		return false, 0
	}
	if !m.moved.IsZero() && now.Sub(m.moved) < m.hold {
		return false, m.once(Flapping)
	}
	if !m.moved.IsZero() && now.Sub(m.moved) < 4*m.hold {
		m.hold = min(2*m.hold, holdMax)
	} else {
		m.hold = hold
	}
	m.moved = now
	return m.set(w, got, verified, now), 0
}

// set makes got the tuple and reports whether it is another one.
func (m *Mapping) set(w Witness, got netip.AddrPort, verified bool, now time.Time) (changed bool) {
	changed = got != m.tuple
	m.tuple, m.witness, m.verified = got, w, verified
	m.candidate, m.votes, m.swings = netip.AddrPort{}, 0, 0
	m.confirmed = m.stun == got && !m.stunWrong
	if changed {
		m.since = now
		m.noted &= 1<<NoReceived | 1<<NoPort | 1<<RouterEdits // these say what provider and router are, not where we are
	}
	return changed
}

// once returns note the first time, then 0.
func (m *Mapping) once(note Note) Note {
	if note == 0 || m.noted&(1<<note) != 0 {
		return 0
	}
	m.noted |= 1 << note
	return note
}

// shared is the carriers' address space between two NATs (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// private reports whether a has no meaning on the public network.
func private(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
