package transport

import (
	"net/netip"
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
