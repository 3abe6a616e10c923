package flow

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"pinhole/internal/transport"
	"pinhole/nat"
)

const (
	stunPort    = 3478 // RFC 8489 §18.6
	stunTCPTime = 5 * time.Second

	// stunHead is how long a UDP answer, which knows only the address, waits
	// for the better one over TCP: the first REGISTER waits half a second.
	stunHead = 400 * time.Millisecond
)

// A stunWatch asks STUN servers, over a UDP flow's own socket, what they see:
// two at once, then again and again the one that answered first. It does no
// I/O and never looks at the clock.
type stunWatch struct {
	once    bool // one round is all
	rand    func() float64
	servers []netip.AddrPort
	asking  []*nat.Prober
	chosen  netip.AddrPort // the one that answers; zero: not known
	seen    netip.AddrPort // its last answer
	at      time.Time      // when to ask; zero: never
}

// ask begins to ask servers.
func (w *stunWatch) ask(servers []netip.AddrPort, now time.Time) {
	if len(servers) > 0 {
		w.servers, w.at = servers, now
	}
}

// next returns when to call fire; zero: never.
func (w *stunWatch) next() time.Time {
	due := w.at
	for _, p := range w.asking {
		if !p.Next().IsZero() && p.Next().Before(due) {
			due = p.Next()
		}
	}
	return due
}

// fire returns the requests that are due at now, with their servers as from.
func (w *stunWatch) fire(now time.Time) []datagram {
	if !w.at.IsZero() && !now.Before(w.at) {
		w.begin(now)
	}
	var due []datagram
	w.asking = slices.DeleteFunc(w.asking, func(p *nat.Prober) bool {
		b, err := p.Request(now)
		if b != nil {
			due = append(due, datagram{p.Server(), b})
		}
		if err != nil && p.Server() == w.chosen {
			w.chosen = netip.AddrPort{} // silent now: ask others next time
		}
		return err != nil
	})
	return due
}

// begin starts a round. Two servers are asked at first, and after a silence
// the next two.
func (w *stunWatch) begin(now time.Time) {
	w.at = now.Add(stunMin + time.Duration(w.rand()*float64(stunMax-stunMin)))
	if w.once {
		w.at = now.Add(never)
	}
	ask := []netip.AddrPort{w.chosen}
	if !w.chosen.IsValid() {
		n := min(2, len(w.servers))
		ask = w.servers[:n]
		w.servers = slices.Concat(w.servers[n:], ask)
	}
	w.asking = nil
	for _, s := range ask {
		w.asking = append(w.asking, nat.NewProber(s))
	}
}

// handle takes in a datagram; ok says that it is the answer of a round. After
// another answer than before the server is asked once more at once: two equal
// ones are believed (see nat.Mapping).
func (w *stunWatch) handle(b []byte, from netip.AddrPort, now time.Time) (mapped netip.AddrPort, ok bool) {
	for _, p := range w.asking {
		got, done, err := p.Handle(b, from)
		if !done {
			continue
		}
		if err != nil {
			w.asking = slices.DeleteFunc(w.asking, func(q *nat.Prober) bool { return q == p })
			if w.chosen == p.Server() {
				w.chosen = netip.AddrPort{}
			}
			return netip.AddrPort{}, false
		}
		w.asking = nil
		if w.seen.IsValid() && w.seen != got {
			w.at = now
		}
		w.chosen, w.seen = p.Server(), got
		return got, true
	}
	return netip.AddrPort{}, false
}

// learn finds the STUN servers; for a stream it also asks them, from the
// flow's own local port.
func (p *path) learn(ctx context.Context) {
	if len(p.flow.cfg.STUN) == 0 {
		return
	}
	servers := p.flow.stunServers(ctx, p.local.Addr())
	if len(servers) == 0 {
		return
	}
	if p.stream == nil {
		p.mu.Lock()
		p.servers = make(map[netip.Addr]bool)
		for _, s := range servers {
			p.servers[s.Addr()] = true
		}
		p.mu.Unlock()
		p.asks <- servers
		return
	}
	if mapped, ok := p.flow.probeStream(ctx, p.local, servers); ok {
		p.mapped <- mapped
	}
}

// stunServers resolves the configured servers to the addresses of local's
// family.
func (f *Flow) stunServers(ctx context.Context, local netip.Addr) []netip.AddrPort {
	var servers []netip.AddrPort
	for _, s := range f.cfg.STUN {
		host, text, err := net.SplitHostPort(s)
		if err != nil {
			host, text = s, ""
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			port = stunPort
		}
		addrs, err := f.res.Lookup(ctx, host)
		if err != nil && ctx.Err() == nil {
			f.log.Warn("going on without a stun server", "server", s, "err", err,
				"remedy", "check nat.stun; the provider's own answers tell the mapped address too")
		}
		for _, a := range addrs {
			if a.Is4() == local.Is4() {
				servers = append(servers, netip.AddrPortFrom(a, uint16(port)))
				break
			}
		}
	}
	return servers
}

// probeStream asks the first server over TCP from local, and all over UDP
// from the same port number. TCP's answer counts; of UDP's the address does,
// with our own port, which most NATs keep.
func (f *Flow) probeStream(ctx context.Context, local netip.AddrPort, servers []netip.AddrPort) (netip.AddrPort, bool) {
	ctx, cancel := context.WithTimeout(ctx, stunTCPTime)
	defer cancel()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel() // before waiting
	tcp, udp := make(chan netip.AddrPort, 1), make(chan netip.AddrPort, 1)
	tasks.Go(func() {
		mapped, _ := nat.ProbeTCP(ctx, f.net, local, servers[0]) // many servers have no TCP
		tcp <- mapped
	})
	tasks.Go(func() {
		mapped, _ := f.probeUDP(ctx, local, servers)
		udp <- mapped
	})
	head := time.NewTimer(stunHead)
	defer head.Stop()
	var guess netip.AddrPort
	late := false
	for waiting := 2; waiting > 0; {
		select {
		case mapped := <-tcp:
			if mapped.IsValid() {
				return mapped, true
			}
			waiting--
		case mapped := <-udp:
			if mapped.IsValid() {
				guess = netip.AddrPortFrom(mapped.Addr(), local.Port())
			}
			waiting--
		case <-head.C:
			late = true
		}
		if late && guess.IsValid() {
			return guess, true
		}
	}
	return guess, guess.IsValid()
}

// probeUDP asks from a socket of its own.
func (f *Flow) probeUDP(ctx context.Context, local netip.AddrPort, servers []netip.AddrPort) (netip.AddrPort, error) {
	pc, err := f.listenNear(ctx, local)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer pc.Close()
	return nat.ProbeUDP(ctx, pc, servers)
}

// listenNear opens a UDP socket on local, or on another port if that is taken.
func (f *Flow) listenNear(ctx context.Context, local netip.AddrPort) (transport.PacketConn, error) {
	pc, err := f.net.ListenPacket(ctx, local)
	if err != nil {
		return f.net.ListenPacket(ctx, netip.AddrPortFrom(local.Addr(), 0))
	}
	return pc, nil
}
