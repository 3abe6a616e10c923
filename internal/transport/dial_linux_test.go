package transport

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDialKeepsNothingAlive: a NAT must see no more than what the flow sends.
func TestDialKeepsNothingAlive(t *testing.T) {
	ln, err := System().Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := System().Dial(t.Context(), netip.AddrPort{}, addrPort(ln.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(tcpConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = onSocket(raw, func(fd int) error {
		on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		if on != 0 {
			t.Error("the kernel sends keep-alives")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDialledPortIsFreeAtOnce: whoever closes a dialled connection, the process
// or the kernel after a kill, leaves no half-closed rest that holds the port,
// though the other side still has it open.
func TestDialledPortIsFreeAtOnce(t *testing.T) {
	ln, err := System().Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	local := netip.MustParseAddrPort("127.0.0.1:0")
	for range 3 {
		c, err := System().Dial(t.Context(), local, addrPort(ln.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		local = addrPort(c.LocalAddr())
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other side sees %v, want a reset", err)
		}
	}
}
