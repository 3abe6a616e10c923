package transport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// control returns what sets SO_REUSEADDR before bind, so that a port whose
// last connection is still known to the system, or that STUN uses at the same
// time, can be dialled from.
func control(reuse bool) func(network, address string, c syscall.RawConn) error {
	if !reuse {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		return onSocket(c, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		})
	}
}

// onSocket runs f on the file descriptor of c.
func onSocket(c syscall.RawConn, f func(fd int) error) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

// SetUserTimeout implements Conn.
func (c tcpConn) SetUserTimeout(d time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	err = onSocket(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", err)
}

// Unacked implements Conn.
func (c tcpConn) Unacked() (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	n := 0
	err = onSocket(raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			n = int(info.Unacked)
		}
		return err
	})
	return n, os.NewSyscallError("getsockopt TCP_INFO", err)
}

// watched are the netlink groups of links, addresses and routes.
const watched = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// watch calls changed for each batch of netlink messages. What they say is of
// no interest: the caller looks for himself.
func watch(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: watched}); err != nil {
		return fmt.Errorf("binding netlink: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, 32<<10)
	for {
		_, err := f.Read(b)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, unix.ENOBUFS): // some were lost: a change as well
			return fmt.Errorf("reading netlink: %w", err)
		}
		changed()
	}
}
