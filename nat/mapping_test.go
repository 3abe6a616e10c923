package nat

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// A said is one observation and what must follow from it.
type said struct {
	after   time.Duration // since the observation before
	w       Witness
	got     string // "" : no received; port 0: no rport
	tuple   string // Tuple afterwards
	changed bool
	note    Note
}

const (
	natted   = "192.168.1.2:5060"  // the flow's own address behind a NAT
	provider = "198.51.100.10"     // on the public network
	a        = "203.0.113.2:40000" // tuples that a NAT gives
	a2       = "203.0.113.2:40001"
	b        = "203.0.113.3:40000"
	refresh  = 2 * time.Minute // from one REGISTER to the next
)

// observe plays the story to m, which has local and peer as its ends.
func observe(t *testing.T, m *Mapping, local, peer string, story []said) {
	t.Helper()
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, s := range story {
		now = now.Add(s.after)
		var got netip.AddrPort
		if s.got != "" {
			got = netip.MustParseAddrPort(s.got)
		}
		changed, note := m.Observe(s.w, got, netip.MustParseAddrPort(local), netip.MustParseAddr(peer), now)
		tuple := ""
		if m.Known() {
			tuple = m.Tuple().String()
		}
		if tuple != s.tuple || changed != s.changed || note != s.note {
			t.Errorf("observation %d, %v says %q: tuple %s changed %v note %q, want %s %v %q",
				i, s.w, s.got, tuple, changed, note, s.tuple, s.changed, s.note)
		}
		if s.changed && m.Since() != now {
			t.Errorf("observation %d: since %v, want %v", i, m.Since(), now)
		}
	}
}

func TestMapping(t *testing.T) {
	for name, c := range map[string]struct {
		local, peer string
		story       []said
		verified    bool
		natted      bool
	}{
		"one answer is enough": {natted, provider, []said{
			{0, Response, a, a, true, 0},
			{0, Response, a, a, false, 0},
		}, true, true},
		"stun first, confirmed": {natted, provider, []said{
			{0, STUN, a, a, true, 0},
			{0, Response, a, a, false, 0},
			{25 * time.Second, STUN, a, a, false, 0},
		}, true, true},
		"stun wrong in the port: the answer corrects at once": {natted, provider, []said{
			{0, STUN, a2, a2, true, 0},
			{0, Response, a, a, true, 0},
			{25 * time.Second, STUN, a2, a, false, 0},
			{25 * time.Second, STUN, a2, a, false, 0},
		}, true, true},
		"stun wrong in the address: the answer wins, with a note": {natted, provider, []said{
			{0, STUN, b, b, true, 0},
			{0, Response, a, a, true, STUNDiffers},
			{25 * time.Second, STUN, b, a, false, 0},
		}, true, true},
		"stun disagrees later": {natted, provider, []said{
			{0, Response, a, a, true, 0},
			{0, STUN, b, a, false, STUNDiffers},
			{25 * time.Second, STUN, b, a, false, 0},
		}, true, true},
		"a known tuple changes at the second equal answer": {natted, provider, []said{
			{0, Response, a, a, true, 0},
			{refresh, Response, b, a, false, 0},
			{0, Response, b, b, true, 0},
		}, true, true},
		"an equal answer between takes the first vote back": {natted, provider, []said{
			{0, Response, a, a, true, 0},
			{refresh, Response, b, a, false, 0},
			{0, Response, a, a, false, 0},
			{refresh, Response, b, a, false, 0},
			{0, Response, b, b, true, 0},
		}, true, true},
		"stun that agreed sees the change: doubt, then an answer settles it": {natted, provider, []said{
			{0, STUN, a, a, true, 0},
			{0, Response, a, a, false, 0},
			{25 * time.Second, STUN, b, a, false, Doubt},
			{0, Response, b, b, true, 0},
		}, true, true},
		"stun that agreed says it twice": {natted, provider, []said{
			{0, STUN, a, a, true, 0},
			{0, Response, a, a, false, 0},
			{25 * time.Second, STUN, b, a, false, Doubt},
			{0, STUN, b, b, true, 0},
			{0, Response, b, b, false, 0},
		}, true, true},
		"stun says it twice and is wrong: never again": {natted, provider, []said{
			{0, STUN, a, a, true, 0},
			{0, Response, a, a, false, 0},
			{25 * time.Second, STUN, b, a, false, Doubt},
			{0, STUN, b, b, true, 0},
			{0, Response, a, a, true, STUNDiffers},
			{25 * time.Second, STUN, a, a, false, 0},
			{time.Hour, STUN, b, a, false, Doubt},
			{0, STUN, b, a, false, 0},
			{0, STUN, b, a, false, 0},
		}, true, true},
		"stun that agreed goes astray, the provider contradicts": {natted, provider, []said{
			{0, STUN, a, a, true, 0},
			{0, Response, a, a, false, 0},
			{25 * time.Second, STUN, b, a, false, Doubt},
			{0, Response, a, a, false, 0},
			{0, STUN, b, a, false, STUNDiffers},
			{25 * time.Second, STUN, b, a, false, 0},
		}, true, true},
		"stun that never agreed is no second witness": {natted, provider, []said{
			{0, STUN, b, b, true, 0},
			{0, Response, a, a, true, STUNDiffers},
			{refresh, Response, b, a, false, 0},
			{0, Response, a, a, false, 0},
		}, true, true},
		"stun never agreed and its address moves: doubt only": {natted, provider, []said{
			{0, STUN, a2, a2, true, 0},
			{0, Response, a, a, true, 0},
			{25 * time.Second, STUN, b, a, false, Doubt},
			{25 * time.Second, STUN, b, a, false, STUNDiffers},
		}, true, true},
		"no nat": {"203.0.113.2:5060", provider, []said{
			{0, Response, "203.0.113.2:5060", "203.0.113.2:5060", true, 0},
		}, true, false},
		"no nat, no rport": {"203.0.113.2:5060", provider, []said{
			{0, Response, "203.0.113.2:0", "203.0.113.2:5060", true, 0},
		}, true, false},
		"a private line to a public provider: our own address": {natted, provider, []said{
			{0, STUN, a, a, true, 0},
			{0, Response, natted, natted, true, STUNDiffers},
		}, true, false},
		"another private address, public provider": {natted, provider, []said{
			{0, STUN, a, a, true, 0},
			{0, Response, "10.1.2.3:5060", a, false, PrivateReceived},
			{0, Response, "10.1.2.3:5060", a, false, 0},
		}, false, true},
		"another private address, provider on the lan": {natted, "10.9.0.1", []said{
			{0, Response, "10.1.2.3:5060", "10.1.2.3:5060", true, 0},
		}, true, true},
		"another private address, provider in the carrier's space": {natted, "100.64.9.1", []said{
			{0, Response, "10.1.2.3:5060", "10.1.2.3:5060", true, 0},
		}, true, true},
		"second nat": {natted, provider, []said{
			{0, STUN, "100.64.1.2:40000", "100.64.1.2:40000", true, CarrierNAT},
			{0, Response, a, a, true, STUNDiffers},
		}, true, true},
		"stun on our side of the nat": {natted, provider, []said{
			{0, STUN, "192.168.1.2:5060", "192.168.1.2:5060", true, 0},
			{0, Response, a, a, true, STUNDiffers},
			{0, STUN, "192.168.7.1:5060", a, false, PrivateSTUN},
		}, true, true},
		"demo on loopback": {"127.0.0.1:5060", "127.0.0.1", []said{
			{0, Response, "127.0.0.1:5060", "127.0.0.1:5060", true, 0},
		}, true, false},
		"loopback from a public provider": {natted, provider, []said{
			{0, Response, "127.0.0.1:5060", "", false, PrivateReceived},
		}, false, true},
		"impossible": {natted, provider, []said{
			{0, Response, "0.0.0.0:5060", "", false, Impossible},
			{0, Response, "224.0.0.1:5060", "", false, 0},
		}, false, true},
		"no received at all": {natted, provider, []said{
			{0, Response, "", "", false, NoReceived},
			{0, STUN, a, a, true, 0},
			{0, Response, "", a, false, 0},
			{25 * time.Second, STUN, b, a, false, Doubt},
			{0, STUN, b, b, true, 0},
		}, false, true},
		"no rport: stun's port": {natted, provider, []said{
			{0, STUN, a, a, true, 0},
			{0, Response, "203.0.113.2:0", a, false, NoPort},
			{0, Response, "203.0.113.2:0", a, false, 0},
		}, false, true},
		"no rport: our own port, then stun's": {natted, provider, []said{
			{0, Response, "203.0.113.2:0", "203.0.113.2:5060", true, NoPort},
			{0, Response, "203.0.113.2:0", "203.0.113.2:5060", false, 0},
			{0, STUN, a, a, true, 0},
			{25 * time.Second, STUN, a2, a, false, Doubt},
			{0, STUN, a2, a2, true, 0},
		}, false, true},
		"no rport at first": {natted, provider, []said{
			{0, Response, "203.0.113.2:0", "203.0.113.2:5060", true, NoPort},
			{0, Response, a, a, true, 0},
			{0, Response, "203.0.113.2:0", a, false, 0},
		}, true, true},
		"no rport, another address": {natted, provider, []said{
			{0, Response, a, a, true, 0},
			{refresh, Response, "203.0.113.3:0", a, false, 0},
			{0, Response, "203.0.113.3:0", "203.0.113.3:5060", true, 0},
		}, false, true},
		"ipv4 in ipv6": {natted, provider, []said{
			{0, Response, "[::ffff:203.0.113.2]:40000", a, true, 0},
			{0, STUN, a, a, false, 0},
		}, true, true},
		"ipv6 without nat": {"[2001:db8::2]:5060", "2001:db8:1::1", []said{
			{0, Response, "[2001:db8::2]:5060", "[2001:db8::2]:5060", true, 0},
		}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var m Mapping
			observe(t, &m, c.local, c.peer, c.story)
			if m.Verified() != c.verified {
				t.Errorf("verified %v", m.Verified())
			}
			if got := m.NATed(netip.MustParseAddrPort(c.local).Addr()); got != c.natted {
				t.Errorf("natted %v", got)
			}
		})
	}
}

// TestMappingRenew: over a redial or a restart the old tuple is a guess.
func TestMappingRenew(t *testing.T) {
	for name, story := range map[string][]said{
		"same tuple":             {{0, Response, a, a, false, 0}},
		"one answer settles it":  {{0, Response, b, b, true, 0}, {0, Response, b, b, false, 0}},
		"stun, another address":  {{0, STUN, b, b, true, 0}, {0, Response, b, b, false, 0}},
		"stun never agreed":      {{0, STUN, a2, a, false, 0}, {0, Response, a, a, false, 0}},
		"stun agrees, then not":  {{0, STUN, a, a, false, 0}, {0, STUN, a2, a2, true, 0}},
		"no received: as it was": {{0, Response, "", a, false, NoReceived}},
	} {
		t.Run(name, func(t *testing.T) {
			var m Mapping
			observe(t, &m, natted, provider, []said{{0, Response, a, a, true, 0}})
			m.Renew()
			if m.Witness() != Memory || m.Verified() {
				t.Errorf("witness %v, verified %v", m.Witness(), m.Verified())
			}
			observe(t, &m, natted, provider, story)
		})
	}
	var m Mapping
	m.Renew()
	if m.Known() || m.Witness() != Nobody {
		t.Error("renewing nothing makes something")
	}
}

// TestMappingFlaps: a provider whose 401 and 200 tell different ports never
// makes us re-register in a loop (N-4).
func TestMappingFlaps(t *testing.T) {
	t.Run("401 and 200 in turn", func(t *testing.T) {
		var m Mapping
		story := []said{{0, Response, a, a, true, 0}, {0, Response, a2, a, false, 0}}
		for range 100 {
			story = append(story, said{refresh, Response, a, a, false, 0}, said{0, Response, a2, a, false, 0})
		}
		observe(t, &m, natted, provider, story)
	})
	t.Run("another port each time", func(t *testing.T) {
		var m Mapping
		story := []said{
			{0, Response, a, a, true, 0},
			{0, Response, "203.0.113.2:1", a, false, 0},
			{0, Response, "203.0.113.2:2", a, false, 0},
			{0, Response, "203.0.113.2:3", a, false, Flapping},
			{0, Response, "203.0.113.2:4", a, false, 0},
		}
		observe(t, &m, natted, provider, story)
	})
	t.Run("in pairs", func(t *testing.T) {
		// Two equal answers every second: each pair could declare a change.
		// They come 30, 60, 120 … 3600, 3600 s apart.
		var m Mapping
		now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		var at []int
		for s := range 6 * 3600 {
			tuple := []string{a, a2}[s%2]
			for range 2 {
				changed, _ := m.Observe(Response, netip.MustParseAddrPort(tuple), netip.MustParseAddrPort(natted),
					netip.MustParseAddr(provider), now.Add(time.Duration(s)*time.Second))
				if changed {
					at = append(at, s)
				}
			}
		}
		want := []int{0, 1, 32, 93, 214, 455, 936, 1897, 3818, 7419, 11020, 14621, 18222}
		if !slices.Equal(at, want) {
			t.Errorf("changes at %v s, want %v", at, want)
		}
	})
	t.Run("the hold, both sides", func(t *testing.T) {
		var m Mapping
		observe(t, &m, natted, provider, []said{
			{0, Response, a, a, true, 0},
			{0, Response, b, a, false, 0},
			{0, Response, b, b, true, 0},
			{0, Response, a, b, false, 0},
			{30*time.Second - 1, Response, a, b, false, Flapping},
			{1, Response, a, a, true, 0},
		})
	})
	t.Run("quiet for long: the hold is short again", func(t *testing.T) {
		var m Mapping
		observe(t, &m, natted, provider, []said{
			{0, Response, a, a, true, 0},
			{0, Response, b, a, false, 0},
			{0, Response, b, b, true, 0},
			{31 * time.Second, Response, a, b, false, 0},
			{0, Response, a, a, true, 0}, // holds 60 s now
			{4 * time.Minute, Response, b, a, false, 0},
			{0, Response, b, b, true, 0}, // and 30 s again
			{30 * time.Second, Response, a, b, false, 0},
			{0, Response, a, a, true, 0},
		})
	})
}
