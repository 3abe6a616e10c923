//go:build linux

package main

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// A floorRelay is the least that a relay in plain Go can do: a NAT over UDP
// that passes each datagram on unread, with a socket towards the provider for
// each phone. It is what a proxy's figures are to be seen against.
type floorRelay struct {
	lan      *net.UDPConn
	wan      netip.Addr
	provider netip.AddrPort
	work     sync.WaitGroup
	byPhone  map[netip.AddrPort]*net.UDPConn
}

// runFloor relays between phones at lan and the provider until lan is closed.
func runFloor(lan *net.UDPConn, wan netip.Addr, provider netip.AddrPort) error {
	r := &floorRelay{lan: lan, wan: wan, provider: provider, byPhone: map[netip.AddrPort]*net.UDPConn{}}
	defer r.work.Wait()
	defer func() {
		for _, pc := range r.byPhone {
			pc.Close()
		}
	}()
	buf := make([]byte, 8192)
	for {
		n, from, err := lan.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			continue // ICMP of an earlier datagram
		}
		pc, err := r.socket(from)
		if err != nil {
			return err
		}
		pc.WriteToUDPAddrPort(buf[:n], provider)
	}
}

// socket returns the phone's socket towards the provider.
func (r *floorRelay) socket(phone netip.AddrPort) (*net.UDPConn, error) {
	if pc := r.byPhone[phone]; pc != nil {
		return pc, nil
	}
	pc, err := listenUDP(netip.AddrPortFrom(r.wan, 0))
	if err != nil {
		return nil, err
	}
	r.byPhone[phone] = pc
	r.work.Go(func() {
		buf := make([]byte, 8192)
		for {
			n, _, err := pc.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err != nil {
				continue
			}
			r.lan.WriteToUDPAddrPort(buf[:n], phone)
		}
	})
	return pc, nil
}
