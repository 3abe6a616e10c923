package nat

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

var (
	server = netip.MustParseAddrPort("198.51.100.20:3478")
	mapped = netip.MustParseAddrPort("203.0.113.2:40000")
)

// TestProberSchedule holds the sends at 0, 300 and 900 ms and the end at
// 2100 ms, both sides of each boundary.
func TestProberSchedule(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	p := NewProber(server)
	for _, c := range []struct {
		at   time.Duration
		send bool
		err  error
		next time.Duration
	}{
		{0, true, nil, 300 * time.Millisecond},
		{300*time.Millisecond - 1, false, nil, 300 * time.Millisecond},
		{300 * time.Millisecond, true, nil, 900 * time.Millisecond},
		{900*time.Millisecond - 1, false, nil, 900 * time.Millisecond},
		{900 * time.Millisecond, true, nil, 2100 * time.Millisecond},
		{2100*time.Millisecond - 1, false, nil, 2100 * time.Millisecond},
		{2100 * time.Millisecond, false, ErrNoAnswer, 2100 * time.Millisecond},
	} {
		b, err := p.Request(start.Add(c.at))
		if (b != nil) != c.send || !errors.Is(err, c.err) || p.Next() != start.Add(c.next) {
			t.Errorf("at %v: sends %v, %v, next %v", c.at, b != nil, err, p.Next().Sub(start))
		}
	}
}

// TestProberHandle: wrong id, source, cookie and demands are ignored (N-1).
func TestProberHandle(t *testing.T) {
	p := NewProber(server)
	request, _ := p.Request(time.Time{})
	m, err := decode(request)
	if err != nil || len(request) != 28 {
		t.Fatalf("request %x: %v", request, err)
	}
	ip := net.IP(mapped.Addr().AsSlice())
	xor := &stun.XORMappedAddress{IP: ip, Port: int(mapped.Port())}
	plain := &stun.MappedAddress{IP: ip, Port: int(mapped.Port())}
	build := func(setters ...stun.Setter) []byte {
		return stun.MustBuild(append([]stun.Setter{m, stun.BindingSuccess}, setters...)...).Raw
	}
	good := build(xor, stun.Fingerprint)
	forged := func(at int) []byte {
		b := build(xor)
		b[at] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		from netip.AddrPort
		done bool
		want netip.AddrPort
		err  bool
	}{
		"answer":                      {good, server, true, mapped, false},
		"answer from a mapped source": {good, netip.MustParseAddrPort("[::ffff:198.51.100.20]:3478"), true, mapped, false},
		"rfc 3489 answer":             {build(plain), server, true, mapped, false},
		"xor counts before plain":     {build(&stun.MappedAddress{IP: ip, Port: 1}, xor), server, true, mapped, false},
		"unknown optional attribute":  {build(xor, stun.RawAttribute{Type: 0x9999, Value: []byte{1}}), server, true, mapped, false},
		"refusal":                     {stun.MustBuild(m, stun.BindingError, stun.CodeServerError).Raw, server, true, netip.AddrPort{}, true},
		"other port":                  {good, netip.AddrPortFrom(server.Addr(), 3479), false, netip.AddrPort{}, false},
		"other host":                  {good, netip.MustParseAddrPort("198.51.100.66:3478"), false, netip.AddrPort{}, false},
		"other transaction":           {forged(19), server, false, netip.AddrPort{}, false},
		"other cookie":                {forged(4), server, false, netip.AddrPort{}, false},
		"unknown required attribute":  {build(xor, stun.RawAttribute{Type: 0x7999, Value: []byte{1}}), server, false, netip.AddrPort{}, false},
		"no address":                  {build(), server, false, netip.AddrPort{}, false},
		"port 0":                      {build(&stun.XORMappedAddress{IP: ip}), server, false, netip.AddrPort{}, false},
		"address 0.0.0.0":             {build(&stun.XORMappedAddress{IP: net.IPv4zero, Port: 5}), server, false, netip.AddrPort{}, false},
		"our own request":             {request, server, false, netip.AddrPort{}, false},
	} {
		got, done, err := p.Handle(c.b, c.from)
		if got != c.want || done != c.done || (err != nil) != c.err {
			t.Errorf("%s: %v, %v, %v", name, got, done, err)
		}
	}
}
