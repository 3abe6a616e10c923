package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// tries are how long each round over the servers waits for each of them.
var tries = [...]time.Duration{time.Second, 2 * time.Second, 2 * time.Second}

// udpSize is the answer size offered (RFC 6891); DNS flag day 2020's value
// passes every path unfragmented.
const udpSize = 1232

// exchange asks the servers, in turn, three rounds at most, until one answers.
func (r *Resolver) exchange(ctx context.Context, q question) (answer, error) {
	r.mu.Lock()
	servers := r.servers
	r.mu.Unlock()
	err := errors.New("no name server is known")
	for _, wait := range tries {
		for _, server := range servers {
			var a answer
			if a, err = r.askServer(ctx, server, q, wait); err == nil {
				return a, nil
			}
			if ctx.Err() != nil {
				return answer{}, fmt.Errorf("looking up %s %q: %w", dns.TypeToString[q.qtype], q.name, ctx.Err())
			}
		}
	}
	return answer{}, fmt.Errorf("looking up %s %q: %w", dns.TypeToString[q.qtype], q.name, err)
}

// askServer asks one server: over UDP, over TCP when the answer was cut, and
// without EDNS when that is what it chokes on.
func (r *Resolver) askServer(ctx context.Context, server netip.AddrPort, q question, wait time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(q.name), q.qtype)
	query.SetEdns0(udpSize, false)
	m, err := r.overUDP(ctx, server, query)
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		query.Extra = nil
		m, err = r.overUDP(ctx, server, query)
	}
	if err == nil && m.Truncated {
		m, err = r.overTCP(ctx, server, query)
	}
	if err != nil {
		return answer{}, fmt.Errorf("asking name server %v: %w", server, err)
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return answer{}, fmt.Errorf("asking name server %v: it answers %s", server, dns.RcodeToString[m.Rcode])
	}
	return read(m, q), nil
}

// overUDP sends one query from a port of its own and waits for its answer.
func (r *Resolver) overUDP(ctx context.Context, server netip.AddrPort, query *dns.Msg) (*dns.Msg, error) {
	query.Id = dns.Id()
	b, err := query.Pack()
	if err != nil {
		return nil, err
	}
	any := netip.IPv4Unspecified()
	if server.Addr().Is6() {
		any = netip.IPv6Unspecified()
	}
	pc, err := r.net.ListenPacket(ctx, netip.AddrPortFrom(any, 0))
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	defer context.AfterFunc(ctx, func() { _ = pc.Close() })()
	if _, err := pc.WriteToUDPAddrPort(b, server); err != nil {
		return nil, err
	}
	in := make([]byte, 65535)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(in)
		if err != nil {
			return nil, cause(ctx, err)
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if m := reply(in[:n], query); m != nil && from == server {
			return m, nil
		}
	}
}

// overTCP is overUDP with a length before each message (RFC 1035 §4.2.2).
func (r *Resolver) overTCP(ctx context.Context, server netip.AddrPort, query *dns.Msg) (*dns.Msg, error) {
	b, err := query.Pack()
	if err != nil {
		return nil, err
	}
	conn, err := r.net.Dial(ctx, netip.AddrPort{}, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
		return nil, cause(ctx, err)
	}
	size := make([]byte, 2)
	if _, err := io.ReadFull(conn, size); err != nil {
		return nil, cause(ctx, err)
	}
	in := make([]byte, binary.BigEndian.Uint16(size))
	if _, err := io.ReadFull(conn, in); err != nil {
		return nil, cause(ctx, err)
	}
	if m := reply(in, query); m != nil {
		return m, nil
	}
	return nil, errors.New("it answers another question")
}

// cause is ctx's error where that is why reading failed.
func cause(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errors.New("no answer")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// reply reads b if it answers query, else nil.
func reply(b []byte, query *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	if m.Unpack(b) != nil || !m.Response || m.Id != query.Id || len(m.Question) != 1 {
		return nil
	}
	asked, got := query.Question[0], m.Question[0]
	if canonical(asked.Name) != canonical(got.Name) || asked.Qtype != got.Qtype || asked.Qclass != got.Qclass {
		return nil
	}
	return m
}

// read takes the records that answer q out of m, along CNAMEs.
func read(m *dns.Msg, q question) answer {
	ttl := maxTTL
	lower := func(rr dns.RR) { ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second) }
	name := q.name
	var a answer
	for range 8 { // CNAMEs in a chain
		next := name
		for _, rr := range m.Answer {
			if canonical(rr.Header().Name) != name {
				continue
			}
			if rr.Header().Rrtype == q.qtype {
				a.rrs = append(a.rrs, rr)
				lower(rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				next = canonical(c.Target)
				lower(rr)
			}
		}
		if len(a.rrs) > 0 || next == name {
			break
		}
		name = next
	}
	if len(a.rrs) == 0 {
		ttl = negative(m)
	}
	a.expires = time.Now().Add(ttl)
	return a
}

// negative returns how long "no such name" holds (RFC 2308 §5).
func negative(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, maxNegativeTTL)
		}
	}
	return negativeTTL
}
