package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"pinhole/internal/transport"
)

// The shape of the audio: PCMU, 50 packets a second of 160 bytes (RFC 3551).
const (
	packetTime  = 20 * time.Millisecond
	payloadSize = 160
	rtpHeader   = 12
)

// settle is how long Audio leaves aside at its start, while relays latch.
const settle = 500 * time.Millisecond

// Media is one end of a call's audio: a real RTP and RTCP socket pair. Each
// packet carries the sender's id, its number and a pattern made of both, so
// that the receiver knows whether the payload is equal. Safe for concurrent
// use.
type Media struct {
	bell
	pc, rtcp transport.PacketConn
	local    netip.AddrPort // as the SDP names it
	id       uint32
	wg       sync.WaitGroup
	stop     chan struct{}
	wake     chan struct{} // talking changed
	once     sync.Once

	mu        sync.Mutex
	latch     bool           // follow the source of what comes in
	echo      bool           // send back what comes in
	hold      bool           // the other side does not want to hear us
	talking   bool           // send packets
	remote    netip.AddrPort // where RTP goes
	remoteCtl netip.AddrPort // where RTCP goes
	sent      []time.Time    // when packet n went out
	heard     []arrival
	strange   int // packets that are no audio of a peer, or not equal
	reports   int // RTCP packets received
	ctlFrom   netip.AddrPort
	lastFrom  netip.AddrPort
}

// An arrival is one packet with an equal payload.
type arrival struct {
	at   time.Time
	id   uint32
	n    uint32
	from netip.AddrPort
}

// newMedia opens a socket pair at addr, RTP on an even port and RTCP above it.
func newMedia(ctx context.Context, n transport.Net, addr netip.Addr, latch bool) (*Media, error) {
	m := &Media{stop: make(chan struct{}), wake: make(chan struct{}, 1), latch: latch}
	var b [4]byte
	copy(b[:], random(4))
	m.id = binary.BigEndian.Uint32(b[:])
	var skipped []transport.PacketConn
	defer func() {
		for _, pc := range skipped {
			_ = pc.Close()
		}
	}()
	for range 64 {
		pc, err := n.ListenPacket(ctx, netip.AddrPortFrom(addr, 0))
		if err != nil {
			return nil, err
		}
		port := addrPort(pc.LocalAddr()).Port()
		if port%2 == 0 {
			m.rtcp, err = n.ListenPacket(ctx, netip.AddrPortFrom(addr, port+1))
			if err == nil {
				m.pc = pc
				break
			}
		}
		skipped = append(skipped, pc)
	}
	if m.pc == nil {
		return nil, errors.New("peer: no even port with a free one above it")
	}
	m.local = addrPort(m.pc.LocalAddr())
	m.wg.Go(m.readRTP)
	m.wg.Go(m.readRTCP)
	m.wg.Go(m.talk)
	return m, nil
}

// Local returns the RTP address that the SDP names.
func (m *Media) Local() netip.AddrPort { return m.local }

// Remote returns where RTP is sent now.
func (m *Media) Remote() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remote
}

// From returns the source of the last audio packet.
func (m *Media) From() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastFrom
}

// Reports returns how many RTCP packets came in, and from where the last did.
func (m *Media) Reports() (int, netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reports, m.ctlFrom
}

// Strange returns how many packets came in that were no peer's equal audio.
func (m *Media) Strange() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.strange
}

// Echo makes this end send back every packet as it came.
func (m *Media) Echo(on bool) {
	m.mu.Lock()
	m.echo = on
	m.mu.Unlock()
}

// Talk starts or stops sending audio.
func (m *Media) Talk(on bool) {
	m.mu.Lock()
	m.talking = on
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// follow takes over what the other side's SDP says.
func (m *Media) follow(s session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hold = s.direction == "sendonly" || s.direction == "inactive" || !s.target().IsValid()
	if t := s.target(); t.IsValid() && t != m.remote {
		m.remote = t
		m.remoteCtl = netip.AddrPortFrom(t.Addr(), t.Port()+1)
		if s.rtcp != 0 {
			m.remoteCtl = netip.AddrPortFrom(t.Addr(), uint16(s.rtcp))
		}
	}
	m.ring()
}

// silent says that this end sends nothing for now: it is not told to, is on
// hold, or knows no address.
func (m *Media) silent() bool {
	return !m.talking || m.hold || !m.remote.IsValid()
}

// spoke says whether n packets were sent since start, or none will be.
func (m *Media) spoke(n int, start time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silent() || (len(m.sent) >= n && !m.sent[len(m.sent)-n].Before(start))
}

// payload makes packet n of stream id.
func payload(id, n uint32) []byte {
	b := make([]byte, payloadSize)
	binary.BigEndian.PutUint32(b, id)
	binary.BigEndian.PutUint32(b[4:], n)
	for i := 8; i < len(b); i++ {
		b[i] = byte(id>>(i%24)) ^ byte(n*31) ^ byte(i*7)
	}
	return b
}

// talk sends packets while it is told to; a silent end has no timer.
func (m *Media) talk() {
	tick := time.NewTicker(packetTime)
	defer tick.Stop()
	for {
		m.mu.Lock()
		talking := m.talking
		m.mu.Unlock()
		if talking {
			tick.Reset(packetTime)
		} else {
			tick.Stop()
		}
		for woken := false; !woken; {
			select {
			case <-m.stop:
				return
			case <-m.wake:
				woken = true
			case <-tick.C:
				m.packet()
			}
		}
	}
}

// packet sends the next packet, and a sender report each second.
func (m *Media) packet() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent() {
		return
	}
	defer m.ring()
	n := uint32(len(m.sent))
	b := make([]byte, rtpHeader, rtpHeader+payloadSize)
	b[0], b[1] = 0x80, 0
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	binary.BigEndian.PutUint32(b[4:], n*payloadSize)
	binary.BigEndian.PutUint32(b[8:], m.id)
	m.sent = append(m.sent, time.Now())
	_, _ = m.pc.WriteToUDPAddrPort(append(b, payload(m.id, n)...), m.remote)
	if n%50 == 0 && m.remoteCtl.IsValid() {
		report := make([]byte, 28) // an empty sender report (RFC 3550 §6.4.1)
		report[0], report[1], report[3] = 0x80, 200, 6
		binary.BigEndian.PutUint32(report[4:], m.id)
		_, _ = m.rtcp.WriteToUDPAddrPort(report, m.remoteCtl)
	}
}

func (m *Media) readRTP() {
	buf := make([]byte, 2048)
	for {
		n, from, err := m.pc.ReadFromUDPAddrPort(buf)
		if err != nil {
			if m.over(err) {
				return
			}
			continue
		}
		m.hear(buf[:n], unmap(from))
	}
}

func (m *Media) hear(b []byte, from netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(b) != rtpHeader+payloadSize {
		m.strange++
		return
	}
	id, n := binary.BigEndian.Uint32(b[rtpHeader:]), binary.BigEndian.Uint32(b[rtpHeader+4:])
	if !bytes.Equal(b[rtpHeader:], payload(id, n)) {
		m.strange++
		return
	}
	m.heard = append(m.heard, arrival{time.Now(), id, n, from})
	m.lastFrom = from
	if m.latch && m.remote != from {
		m.remote = from
	}
	if m.echo && m.remote.IsValid() && id != m.id {
		_, _ = m.pc.WriteToUDPAddrPort(b, m.remote)
	}
	m.ring()
}

func (m *Media) readRTCP() {
	buf := make([]byte, 2048)
	for {
		n, from, err := m.rtcp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if m.over(err) {
				return
			}
			continue
		}
		m.mu.Lock()
		if n >= 8 && buf[1] >= 200 && buf[1] <= 204 {
			m.reports++
			m.ctlFrom = unmap(from)
			if m.latch {
				m.remoteCtl = m.ctlFrom
			}
		}
		m.mu.Unlock()
		m.ring()
	}
}

func (m *Media) over(err error) bool {
	select {
	case <-m.stop:
		return true
	default:
		return errors.Is(err, net.ErrClosed)
	}
}

// close ends the audio and frees the ports.
func (m *Media) close() {
	m.once.Do(func() {
		close(m.stop)
		_ = m.pc.Close()
		_ = m.rtcp.Close()
	})
	m.wg.Wait()
}
