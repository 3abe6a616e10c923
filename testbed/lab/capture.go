//go:build lab

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// captureBuffer is the kernel's for one capture; a full one loses frames, which
// fails the test.
const captureBuffer = 16 << 20

// A Capture keeps every frame that an interface sends and receives, from its
// start to the end of the cell. Safe for concurrent use.
type Capture struct {
	iface  string
	socket *os.File
	done   chan struct{}
	mu     sync.Mutex
	frames []frame
}

type frame struct {
	at   time.Time
	data []byte // from the Ethernet header on
}

// capture starts to listen on an interface of a namespace.
func (c *Cell) capture(n *Netns, iface string) *Capture {
	c.t.Helper()
	p := &Capture{iface: iface, done: make(chan struct{})}
	c.must(n.do(p.open))
	go p.read()
	c.onClose(p.close)
	return p
}

// open makes the packet socket. It hears nothing before it is bound.
func (p *Capture) open() error {
	link, err := net.InterfaceByName(p.iface)
	if err != nil {
		return fmt.Errorf("capturing on %s: %w", p.iface, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("capturing on %s: %w", p.iface, err)
	}
	all := bits.ReverseBytes16(unix.ETH_P_ALL) // in network order
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}))
	if err != nil {
		return errors.Join(fmt.Errorf("capturing on %s: %w", p.iface, err), unix.Close(fd))
	}
	p.socket = os.NewFile(uintptr(fd), "capture of "+p.iface)
	return nil
}

// read ends when the socket is closed.
func (p *Capture) read() {
	defer close(p.done)
	buf := make([]byte, 1<<16)
	for {
		n, err := p.socket.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.frames = append(p.frames, frame{time.Now(), append([]byte(nil), buf[:n]...)})
		p.mu.Unlock()
	}
}

// close ends the capture; it is an error to have lost a frame.
func (p *Capture) close() error {
	conn, err := p.socket.SyscallConn()
	if err != nil {
		return err
	}
	var lost *unix.TpacketStats
	var asked error
	err = conn.Control(func(fd uintptr) {
		lost, asked = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	})
	err = errors.Join(err, asked, p.socket.Close())
	<-p.done
	if err == nil && lost.Drops > 0 {
		err = fmt.Errorf("the capture of %s lost %d frames", p.iface, lost.Drops)
	}
	return err
}

// snapshot returns the frames so far.
func (p *Capture) snapshot() []frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frames[:len(p.frames):len(p.frames)]
}

// save writes the frames as a pcap file for Wireshark.
func (p *Capture) save(path string) error {
	le := binary.LittleEndian
	var b []byte
	for _, v := range []uint32{0xa1b2c3d4, 2 | 4<<16, 0, 0, 1 << 18, 1} { // version 2.4, Ethernet
		b = le.AppendUint32(b, v)
	}
	for _, f := range p.snapshot() {
		size := uint32(len(f.data))
		for _, v := range []uint32{uint32(f.at.Unix()), uint32(f.at.Nanosecond() / 1000), size, size} {
			b = le.AppendUint32(b, v)
		}
		b = append(b, f.data...)
	}
	return os.WriteFile(path, b, 0o644)
}
