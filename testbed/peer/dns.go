package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"pinhole/internal/transport"
)

// A DNS is a name server on UDP that knows the records it was given and
// nothing else. Safe for concurrent use.
type DNS struct {
	pc transport.PacketConn
	wg sync.WaitGroup

	mu      sync.Mutex
	records []dns.RR
	asked   []string
	down    bool
}

// NewDNS serves records at addr, each a line of a zone file such as
// "_sip._udp.example.com. 60 IN SRV 0 0 5060 sip.example.com.".
func NewDNS(n transport.Net, addr netip.AddrPort, records ...string) (*DNS, error) {
	d := &DNS{}
	if err := d.Set(records...); err != nil {
		return nil, err
	}
	pc, err := n.ListenPacket(context.Background(), addr)
	if err != nil {
		return nil, fmt.Errorf("opening the name server's socket: %w", err)
	}
	d.pc = pc
	d.wg.Go(d.serve)
	return d, nil
}

// Addr returns the server's address.
func (d *DNS) Addr() netip.AddrPort { return addrPort(d.pc.LocalAddr()) }

// Set replaces all records.
func (d *DNS) Set(records ...string) error {
	var list []dns.RR
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			return fmt.Errorf("reading the record %q: %w", line, err)
		}
		list = append(list, rr)
	}
	d.mu.Lock()
	d.records = list
	d.mu.Unlock()
	return nil
}

// Down makes the server silent until it is called with false.
func (d *DNS) Down(on bool) {
	d.mu.Lock()
	d.down = on
	d.mu.Unlock()
}

// Asked returns the questions so far, as "NAME TYPE".
func (d *DNS) Asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.asked...)
}

// Close ends the server and waits for it.
func (d *DNS) Close() {
	_ = d.pc.Close()
	d.wg.Wait()
}

func (d *DNS) serve() {
	buf := make([]byte, 4096)
	for {
		n, from, err := d.pc.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var q dns.Msg
		if err != nil || q.Unpack(buf[:n]) != nil || len(q.Question) != 1 {
			continue
		}
		if b := d.answer(&q); b != nil {
			_, _ = d.pc.WriteToUDPAddrPort(b, from)
		}
	}
}

// answer packs the records asked for; nil when the server is down.
func (d *DNS) answer(q *dns.Msg) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	ask := q.Question[0]
	d.asked = append(d.asked, ask.Name+" "+dns.TypeToString[ask.Qtype])
	if d.down {
		return nil
	}
	var a dns.Msg
	a.SetReply(q)
	a.Authoritative = true
	a.Rcode = dns.RcodeNameError
	for _, rr := range d.records {
		if !strings.EqualFold(rr.Header().Name, ask.Name) {
			continue
		}
		a.Rcode = dns.RcodeSuccess
		if rr.Header().Rrtype == ask.Qtype {
			a.Answer = append(a.Answer, rr)
		}
	}
	b, err := a.Pack()
	if err != nil {
		return nil
	}
	return b
}
