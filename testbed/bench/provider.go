//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A binding is what the registrar knows of a phone.
type binding struct {
	phone   *phone
	contact string // "": not registered
	path    *party // where its REGISTER came from, and its calls go
	nonce   string
	cseq    string // of the last REGISTER
	answer  string // to it
}

// openProvider opens the provider on UDP, TCP and TLS.
func (g *generator) openProvider() error {
	pc, err := listenUDP(g.provider)
	if err != nil {
		return err
	}
	g.closers = append(g.closers, pc.Close)
	g.provider = netip.MustParseAddrPort(pc.LocalAddr().String())
	g.work.Go(func() {
		g.readUDP(pc, func(from netip.AddrPort) *party { return g.udpPath(pc, from) })
	})
	if g.cert.Certificate == nil {
		return nil
	}
	secure := netip.AddrPortFrom(g.provider.Addr(), g.provider.Port()+1)
	for proto, addr := range map[string]netip.AddrPort{"TCP": g.provider, "TLS": secure} {
		ln, err := listenTCP(addr)
		if err != nil {
			return err
		}
		if proto == "TLS" {
			ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{g.cert}})
		}
		g.closers = append(g.closers, ln.Close)
		g.work.Go(func() { g.accept(ln, proto) })
	}
	return nil
}

// udpPath returns the provider's end of a path over UDP. The lock is held.
func (g *generator) udpPath(pc *net.UDPConn, from netip.AddrPort) *party {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	p := g.paths[from]
	if p == nil {
		p = &party{proto: "UDP", addr: g.provider.String(), peer: from.String(), media: providerMedia, send: func(text string) {
			pc.WriteToUDPAddrPort([]byte(text), from) // a lost datagram shows as a repetition
		}}
		g.paths[from] = p
	}
	return p
}

// accept serves the connections of one listener until it is closed.
func (g *generator) accept(ln net.Listener, proto string) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return // closed; any other error shows as missing answers
		}
		g.work.Go(func() { g.readStream(conn, proto) })
		g.work.Go(func() {
			<-g.done
			conn.Close()
		})
	}
}

// readStream frames what comes over a connection until it ends.
func (g *generator) readStream(conn net.Conn, proto string) {
	defer conn.Close()
	p := &party{proto: proto, addr: g.streamAddr(proto), peer: conn.RemoteAddr().String(), media: providerMedia}
	p.send = func(text string) {
		io.WriteString(conn, text) // a broken connection shows as missing answers
	}
	r := bufio.NewReaderSize(conn, 1<<16)
	for {
		m, err := readMessage(r)
		if err != nil {
			return
		}
		g.mu.Lock()
		if m == "" {
			p.send("\r\n") // the pong
		} else {
			g.message(p, m)
		}
		g.mu.Unlock()
	}
}

func (g *generator) streamAddr(proto string) string {
	if proto == "TLS" {
		return netip.AddrPortFrom(g.provider.Addr(), g.provider.Port()+1).String()
	}
	return g.provider.String()
}

// readMessage reads one message of a stream, or a ping: then it is "".
func readMessage(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		b.Write(line)
		switch {
		case len(line) > 2:
		case b.Len() == 4:
			return "", nil
		case b.Len() > 4:
			length, err := strconv.Atoi(field(b.String(), "Content-Length"))
			if err != nil || length < 0 || length > 1<<16 {
				return "", fmt.Errorf("framing: Content-Length of %q", b.String())
			}
			_, err = io.CopyN(&b, r, int64(length))
			return b.String(), err
		}
	}
}

// registrar answers a REGISTER: with a challenge, or when it was answered,
// with 200. What it may not see fails the phone's unit.
func (g *generator) registrar(at *party, m string) {
	b := g.bindings[userOf(uriOf(field(m, "To")))]
	if b == nil || at.phone != nil {
		return
	}
	if cseq := field(m, "CSeq"); cseq == b.cseq {
		g.tally.repeated++
	} else {
		b.cseq = cseq
		b.answer = g.registration(b, at, m)
	}
	at.send(b.answer)
}

// registration makes the answer to a REGISTER that was not seen before.
func (g *generator) registration(b *binding, at *party, m string) string {
	contact, auth := field(m, "Contact"), field(m, "Authorization")
	uri := uriOf(contact)
	host, _, _ := strings.Cut(hostOf(uri), ":")
	switch {
	case g.wan != "" && host != g.wan:
		g.fail(&b.phone.unit, "the Contact is not the proxy's", m)
	case auth == "":
		b.nonce = "ZGNkOThiNzEwMmRkMmYwZTRj" + g.next()
		return respond(m, "401 Unauthorized", "r"+b.nonce, at.peer,
			`WWW-Authenticate: Digest realm="`+domain+`", nonce="`+b.nonce+`", algorithm=MD5, qop="auth"`+"\r\n", "")
	case !strings.Contains(auth, `nonce="`+b.nonce+`"`):
		g.fail(&b.phone.unit, "the nonce is not the one given", m)
	default:
		b.contact, b.path = uri, at
		return respond(m, "200 OK", "r"+b.nonce, at.peer, "Contact: "+contact+";expires=3600\r\n", "")
	}
	return respond(m, "403 Forbidden", "r", at.peer, "", "")
}
