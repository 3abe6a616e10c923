package message

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// benchRegister is a REGISTER of 1119 octets as a desk phone sends it after a
// challenge.
var benchRegister = crlf(`REGISTER sip:sip.example.com SIP/2.0
Via: SIP/2.0/UDP 192.168.1.10:5060;rport;branch=z9hG4bKPj6f1b0c9a5d2e4f7c8a3b
Max-Forwards: 70
From: "Alice Example" <sip:alice@sip.example.com>;tag=9fxced76sl-3848276298220188511
To: "Alice Example" <sip:alice@sip.example.com>
Call-ID: 3848276298220188511-192.168.1.10@phone.example.com
CSeq: 42 REGISTER
User-Agent: Example-Phone T46U 108.86.0.20 (firmware 2024-11-05-rc1)
Supported: outbound, path, gruu
Contact: "Alice Example" <sip:alice@192.168.1.10:5060;transport=udp>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>";reg-id=1;expires=3600;audio;mobility="fixed";methods="INVITE,ACK,CANCEL,BYE,OPTIONS,NOTIFY,UPDATE"
Expires: 3600
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, SUBSCRIBE, INFO, MESSAGE, UPDATE, PRACK
Authorization: Digest username="alice", realm="sip.example.com", nonce="ZGNkOThiNzEwMmRkMmYwZTRjMTFlOGIxOGJmYTJiNDk=", uri="sip:sip.example.com", response="6629fae49393a05397450978507c4ef1", algorithm=MD5, cnonce="0a4f113b8e7c42d1", qop=auth, nc=00000007, opaque="5ccc069c403ebaf9f0171e9517f40e41"
Content-Length: 0

`)

// benchInvite is an INVITE of 1316 octets with an offer and credentials.
var benchInvite = crlf(`INVITE sip:+49301234567@sip.example.com;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.168.1.10:5060;rport;branch=z9hG4bKPj1b0c9a5d2e4
Max-Forwards: 70
From: "Alice Example" <sip:alice@sip.example.com>;tag=9fxced76sl-3848276298220
To: <sip:+49301234567@sip.example.com;user=phone>
Call-ID: 3848276298220188511-192.168.1.10@phone.example.com
CSeq: 102 INVITE
Contact: <sip:alice@192.168.1.10:5060;transport=udp>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"
User-Agent: Example-Phone T46U 108.86.0.20 (firmware 2024-11-05)
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, UPDATE, PRACK
Supported: replaces, 100rel, timer
Proxy-Authorization: Digest username="alice", realm="sip.example.com", nonce="ZGNkOThiNzEwMmRkMmYwZTRjMTFlOGIxOGJmYTJi", uri="sip:+49301234567@sip.example.com;user=phone", response="6629fae49393a05397450978507c4ef1", algorithm=MD5, cnonce="0a4f113b", qop=auth, nc=00000003, opaque="5ccc069c403ebaf9f0171e9517f40e41"
Content-Type: application/sdp
Content-Length: 295

v=0
o=alice 2890844526 2890844526 IN IP4 192.168.1.10
s=-
c=IN IP4 192.168.1.10
t=0 0
m=audio 49170 RTP/AVP 0 8 9 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:9 G722/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=maxptime:40
a=sendrecv
a=rtcp:49171
`)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// relay reads raw, makes the edits of a REGISTER or INVITE on its way up and
// writes the result: one Via of ours, the alias in Contact, Max-Forwards less
// one, our Call-ID and CSeq.
func relay(dst []byte, raw string, m *Message, e *Edits) ([]byte, error) {
	if err := m.Reset(raw, Datagram); err != nil {
		return nil, err
	}
	e.Reset()
	first := true
	for l := range m.Each(Via) {
		if first {
			e.Replace(l.Start, l.End, "Via: SIP/2.0/TLS ", "203.0.113.7:40312", ";rport;branch=", "z9hG4bK0000002a5f3c9d1e77ab42c8", "\r\n")
		} else {
			e.DeleteLine(m, l)
		}
		first = false
	}
	for el := range m.Elems(Contact) {
		a, err := ParseNameAddr(m.Elem(el))
		if err != nil {
			return nil, err
		}
		e.Replace(el.Start+int32(a.URIStart), el.Start+int32(a.URIEnd), "sip:alice@", "203.0.113.7:40312", ";transport=tls;b=", "k3v9x2m7q4w8z1tb")
	}
	if l, ok := m.First(MaxForwards); ok {
		n, _ := ParseUint(m.Value(l), 255)
		var b [4]byte
		e.Replace(l.ValueStart, l.ValueEnd, string(strconv.AppendUint(b[:0], n-1, 10)))
	}
	if l, ok := m.First(CallID); ok {
		e.Replace(l.ValueStart, l.ValueEnd, "7c1d0f2b9a8e4c63")
	}
	if l, ok := m.First(CSeq); ok {
		_, method, _ := m.CSeq()
		e.Replace(l.ValueStart, l.ValueEnd, "1007", " ", method)
	}
	return e.Append(dst, m), nil
}

// floor does the least a lossless relay can do: find every line, copy once.
func floor(b []byte) int {
	lines := 0
	for rest := b; ; lines++ {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
	}
	out := pool.Get().(*[]byte)
	*out = append((*out)[:0], b...)
	pool.Put(out)
	return lines
}

var pool = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

func benchmarks(b *testing.B, f func(b *testing.B, raw string)) {
	b.Run("register", func(b *testing.B) { f(b, benchRegister) })
	b.Run("invite", func(b *testing.B) { f(b, benchInvite) })
}

// BenchmarkFloor is what the others are measured against.
func BenchmarkFloor(b *testing.B) {
	benchmarks(b, func(b *testing.B, raw string) {
		in := []byte(raw)
		b.ReportAllocs()
		for b.Loop() {
			floor(in)
		}
	})
}

// BenchmarkIndex reads and checks a message and does nothing with it.
func BenchmarkIndex(b *testing.B) {
	benchmarks(b, func(b *testing.B, raw string) {
		var m Message
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Reset(raw, Datagram); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRelay reads, edits and writes a message that is a string already.
func BenchmarkRelay(b *testing.B) {
	benchmarks(b, func(b *testing.B, raw string) {
		var m Message
		var e Edits
		var err error
		dst := make([]byte, 0, 2048)
		b.ReportAllocs()
		for b.Loop() {
			if dst, err = relay(dst[:0], raw, &m, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRelayBytes is BenchmarkRelay from a read buffer: the one allocation
// is the message's own string.
func BenchmarkRelayBytes(b *testing.B) {
	benchmarks(b, func(b *testing.B, raw string) {
		var m Message
		var e Edits
		var err error
		in, dst := []byte(raw), make([]byte, 0, 2048)
		b.ReportAllocs()
		for b.Loop() {
			if dst, err = relay(dst[:0], string(in), &m, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSipgo parses and prints the same messages, unedited, with sipgo.
func BenchmarkSipgo(b *testing.B) {
	benchmarks(b, func(b *testing.B, raw string) {
		in, p := []byte(raw), sip.NewParser()
		b.ReportAllocs()
		for b.Loop() {
			m, err := p.ParseSIP(in)
			if err != nil {
				b.Fatal(err)
			}
			if m.String() == "" {
				b.Fatal("empty")
			}
		}
	})
}

// TestBenchmarkMessages holds the sizes that the figures are for.
func TestBenchmarkMessages(t *testing.T) {
	for raw, size := range map[string]int{benchRegister: 1119, benchInvite: 1316} {
		m, err := Parse(raw, Stream)
		if err != nil {
			t.Fatalf("%v in\n%s", err, raw)
		}
		if len(m.Raw) != size || len(raw) != size {
			t.Errorf("%s: %d octets of %d, body %d", m.Method, len(m.Raw), len(raw), len(m.Body()))
		}
	}
}

// TestRelayAllocations gates what one message may cost.
func TestRelayAllocations(t *testing.T) {
	var m Message
	var e Edits
	dst := make([]byte, 0, 4096)
	for _, raw := range []string{benchRegister, benchInvite} {
		in := []byte(raw)
		run := func(max float64, name string, f func()) {
			if n := testing.AllocsPerRun(100, f); n > max {
				t.Errorf("%s: %v allocations, want at most %v", name, n, max)
			}
		}
		run(0, "reset", func() { _ = m.Reset(raw, Datagram) })
		run(0, "relay", func() { dst, _ = relay(dst[:0], raw, &m, &e) })
		run(1, "relay from bytes", func() { dst, _ = relay(dst[:0], string(in), &m, &e) })
	}
}
