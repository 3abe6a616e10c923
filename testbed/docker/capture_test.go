//go:build docker

package docker

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
)

// A Capture reads what tcpdump has written of one network so far. Safe for
// concurrent use.
type Capture struct {
	w    *World
	path string

	mu      sync.Mutex
	offset  int64
	packets []Packet
	parts   map[fragment]int // of a datagram in fragments, its number
}

// A Packet is the payload of a UDP datagram or a TCP segment.
type Packet struct {
	At       float64 // seconds
	TCP      bool
	SYN      bool
	Seq      uint32
	Src, Dst netip.AddrPort
	Payload  []byte
}

type fragment struct {
	src, dst [4]byte
	id       uint16
}

// capture names the capture of a network.
func (w *World) capture(network string) *Capture {
	return &Capture{w: w, path: filepath.Join(w.out, network+".pcap"), parts: map[fragment]int{}}
}

// mark is the number of packets so far.
func (c *Capture) mark() int { return len(c.since(0)) }

// since returns the packets from a mark on.
func (c *Capture) since(mark int) []Packet {
	c.w.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.readOn(); err != nil {
		c.w.t.Fatalf("reading a capture: %v", err)
	}
	return c.packets[mark:len(c.packets):len(c.packets)]
}

// readOn reads the records that have been written since the last time; one that
// is half written stays for the next.
func (c *Capture) readOn() error {
	f, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b := make([]byte, info.Size()-c.offset)
	if n, err := f.ReadAt(b, c.offset); n < len(b) {
		return err
	}
	if c.offset == 0 {
		const header = 24
		if len(b) < header {
			return nil
		}
		if magic := binary.LittleEndian.Uint32(b); magic != 0xa1b2c3d4 {
			return fmt.Errorf("%s begins with %x, which is no pcap file of this machine", c.path, magic)
		}
		b, c.offset = b[header:], header
	}
	for len(b) >= 16 {
		size := int(binary.LittleEndian.Uint32(b[8:]))
		if len(b) < 16+size {
			break
		}
		at := float64(binary.LittleEndian.Uint32(b)) + float64(binary.LittleEndian.Uint32(b[4:]))/1e6
		c.frame(at, b[16:16+size])
		b, c.offset = b[16+size:], c.offset+int64(16+size)
	}
	return nil
}

// frame decodes Ethernet, IPv4, UDP and TCP; anything else is left out.
func (c *Capture) frame(at float64, b []byte) {
	if len(b) < 14+20 || binary.BigEndian.Uint16(b[12:]) != 0x0800 {
		return
	}
	b = b[14:]
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total < head || total > len(b) {
		return
	}
	protocol, flags := b[9], binary.BigEndian.Uint16(b[6:])
	key := fragment{[4]byte(b[12:]), [4]byte(b[16:]), binary.BigEndian.Uint16(b[4:])}
	b = b[head:total]
	if flags&0x1fff != 0 { // a later fragment
		if i, ok := c.parts[key]; ok {
			c.packets[i].Payload = append(c.packets[i].Payload, b...)
		}
		return
	}
	if len(b) < 8 {
		return
	}
	p := Packet{
		At:  at,
		Src: netip.AddrPortFrom(netip.AddrFrom4(key.src), binary.BigEndian.Uint16(b)),
		Dst: netip.AddrPortFrom(netip.AddrFrom4(key.dst), binary.BigEndian.Uint16(b[2:])),
	}
	switch {
	case protocol == 17:
		p.Payload = b[8:]
	case protocol == 6 && len(b) >= 20 && len(b) >= int(b[12]>>4)*4:
		p.TCP, p.SYN, p.Seq, p.Payload = true, b[13]&2 != 0, binary.BigEndian.Uint32(b[4:]), b[int(b[12]>>4)*4:]
	default:
		return
	}
	if flags&0x2000 != 0 { // more fragments follow
		p.Payload = append([]byte(nil), p.Payload...)
		c.parts[key] = len(c.packets)
	}
	c.packets = append(c.packets, p)
}

// A stream is what one end sent to another: datagrams, or the bytes of
// connections in order, each once.
type stream struct {
	Src, Dst netip.AddrPort
	Payload  []byte
}

// streams puts TCP segments together. A segment that is older than what was
// seen was sent again.
func streams(packets []Packet) []stream {
	type open struct {
		index int
		next  uint32
	}
	var out []stream
	at := map[[2]netip.AddrPort]*open{}
	for _, p := range packets {
		if !p.TCP {
			out = append(out, stream{p.Src, p.Dst, p.Payload})
			continue
		}
		key := [2]netip.AddrPort{p.Src, p.Dst}
		o := at[key]
		if o == nil || p.SYN {
			o = &open{index: len(out), next: p.Seq}
			if p.SYN {
				o.next++
			}
			at[key], out = o, append(out, stream{Src: p.Src, Dst: p.Dst})
		}
		old := int(int32(o.next - p.Seq))
		if old < 0 || old >= len(p.Payload) {
			continue
		}
		out[o.index].Payload = append(out[o.index].Payload, p.Payload[old:]...)
		o.next = p.Seq + uint32(len(p.Payload))
	}
	return out
}
