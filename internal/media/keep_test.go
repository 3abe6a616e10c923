package media

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pinhole/testbed/memnet"
)

// times are when the packets came, since a start.
func times(got []heard, since time.Time, text string) (at []time.Duration) {
	for _, h := range got {
		if h.text == text {
			at = append(at, h.at.Sub(since))
		}
	}
	return at
}

func TestPunch(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		rtcp := w.end(w.provider, "198.51.100.11:30001")
		s := w.open(1)
		start := time.Now()
		s.Punch(0) // no address yet
		s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
		s.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
		provider.hears()
		s.Punch(0)
		provider.hears("punch 20") // at once
		time.Sleep(12 * time.Second)
		ms := time.Millisecond
		want := []time.Duration{20 * ms, 40 * ms, 5040 * ms, 10040 * ms}
		if got := times(provider.heard(), start, "punch 20"); !slices.Equal(got, want) {
			t.Errorf("RTP at %v, want %v", got, want)
		}
		want = append([]time.Duration{0}, want...)
		if got := times(rtcp.heard(), start, "empty report"); !slices.Equal(got, want) {
			t.Errorf("RTCP at %v, want %v", got, want)
		}
		provider.say(1, "media", s.Advertised(WAN, 0).RTP)
		last := 10040 * ms
		time.Sleep(40 * time.Second)
		want = []time.Duration{last + keepAlive, last + 2*keepAlive}
		if got := times(provider.heard(), start, "punch 20"); !slices.Equal(got, want) {
			t.Errorf("after media at %v, want %v", got, want)
		}
	})
}

// TestKeepAlive: only when nothing was sent for 15 s, RTP and RTCP apart.
func TestKeepAlive(t *testing.T) {
	inWorld(t, plainNAT, nil, func(w *world) {
		phone, provider := twoEnds(w)
		rtcp := w.end(w.provider, "198.51.100.11:30001")
		s := w.open(1)
		s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
		start := time.Now()
		s.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
		time.Sleep(keepAlive - 1)
		provider.hears()
		time.Sleep(time.Nanosecond)
		provider.hears("punch 20")
		time.Sleep(10 * time.Second)
		phone.send(phone.voice("a"), s.Advertised(LAN, 0).RTP)
		provider.hears("a")
		time.Sleep(20 * time.Second)
		if got := times(provider.heard(), start, "punch 20"); !slices.Equal(got, []time.Duration{40 * time.Second}) {
			t.Errorf("RTP at %v", got)
		}
		want := []time.Duration{keepAlive, 2 * keepAlive, 3 * keepAlive}
		if got := times(rtcp.heard(), start, "empty report"); !slices.Equal(got, want) {
			t.Errorf("RTCP at %v, want %v", got, want)
		}
	})
}

// TestPunchSavesThePort: a router whose WAN input is accept gives our port away
// to the provider's first packet, unless ours went first.
func TestPunchSavesThePort(t *testing.T) {
	nat := memnet.NAT{
		Mapping: memnet.AddressAndPortDependent, Filtering: memnet.AddressAndPortDependent,
		PreservePort: true, Overload: true, InputAccept: true, // Linux
	}
	for name, punch := range map[string]bool{"punch": true, "control": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nat, nil, func(w *world) {
				phone, provider := twoEnds(w)
				s := w.open(1)
				s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
				s.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
				if punch {
					s.Punch(0)
				}
				provider.say(2, "first", s.Advertised(WAN, 0).RTP)
				phone.say(2, "second", s.Advertised(LAN, 0).RTP)
				var from netip.AddrPort
				for _, h := range provider.heard() {
					from = h.from
				}
				if same := from == s.Advertised(WAN, 0).RTP; same != punch {
					t.Errorf("our media comes from %v, advertised %v", from, s.Advertised(WAN, 0).RTP)
				}
				if got := len(phone.heard()); got != map[bool]int{true: 2}[punch] {
					t.Errorf("the phone heard %d", got)
				}
			})
		})
	}
}
