//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// A phone registers again and again with the same Call-ID, and is one end of
// calls.
type phone struct {
	g      *generator
	party  *party
	user   string
	callID string
	cseq   int
	authed bool
	asking ask
	unit   unit
}

// openPhone opens the nth phone.
func (g *generator) openPhone(n int) error {
	pc, err := listenUDP(g.phone(n))
	if err != nil {
		return err
	}
	g.closers = append(g.closers, pc.Close)
	addr := pc.LocalAddr().String()
	p := &phone{g: g, user: fmt.Sprintf("u%d", n), callID: fmt.Sprintf("bench-%d-6f1b0c9a5d2e4f7c", n)}
	host, _, _ := strings.Cut(addr, ":")
	p.party = &party{proto: "UDP", addr: addr, media: host, phone: p, send: func(text string) {
		pc.WriteToUDPAddrPort([]byte(text), g.proxy) // a lost datagram shows as a repetition
	}}
	g.phones = append(g.phones, p)
	g.bindings[p.user] = &binding{phone: p}
	g.work.Go(func() {
		g.readUDP(pc, func(netip.AddrPort) *party { return p.party })
	})
	return nil
}

// register begins a registration. A phone that still has one on its way is too
// slow for the rate: that is a failure.
func (p *phone) register() {
	g := p.g
	if p.unit.running {
		g.fail(&p.unit, "not registered when the next registration was due", p.asking.text)
	}
	g.begin(&p.unit)
	p.authed = false
	p.sendRegister("")
}

func (p *phone) sendRegister(auth string) {
	p.cseq++
	text := "REGISTER sip:" + domain + " SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP " + p.party.addr + ";rport;branch=z9hG4bKr" + p.g.next() + "\r\n" +
		"Max-Forwards: 70\r\n" +
		"From: <sip:" + p.user + "@" + domain + ">;tag=9fxced76sl" + p.user + "\r\n" +
		"To: <sip:" + p.user + "@" + domain + ">\r\n" +
		"Call-ID: " + p.callID + "\r\n" +
		fmt.Sprintf("CSeq: %d REGISTER\r\n", p.cseq) +
		"Contact: <" + p.party.contact() + ">\r\n" +
		phoneHeaders + auth +
		"Expires: 3600\r\nContent-Length: 0\r\n\r\n"
	p.g.ask(&p.asking, p.party, text, &p.unit)
}

// phoneHeaders are what a desk phone says of itself.
const phoneHeaders = "User-Agent: Bench-Phone T46U 108.86.0.20\r\n" +
	"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, SUBSCRIBE, INFO, MESSAGE, UPDATE, PRACK\r\n" +
	"Supported: replaces\r\n"

// credentials answers a challenge; the response is of the right form only.
func credentials(header, challenge, user, uri string) string {
	_, nonce, _ := strings.Cut(challenge, `nonce="`)
	nonce, _, _ = strings.Cut(nonce, `"`)
	return header + `: Digest username="` + user + `", realm="` + domain + `", nonce="` + nonce + `", uri="` + uri +
		`", response="6629fae49393a05397450978507c4ef1", algorithm=MD5, cnonce="0a4f113b8e7c42d1", qop=auth, nc=00000001` + "\r\n"
}

// registerAnswer takes a response to REGISTER.
func (p *phone) registerAnswer(m string, status int) {
	g := p.g
	n, _ := cseqOf(m)
	if n != p.cseq || !p.unit.running || field(m, "Call-ID") != p.callID {
		g.tally.repeated++
		return
	}
	switch {
	case status < 200:
	case status == 401 && !p.authed:
		g.heard(&p.asking)
		p.authed = true
		p.sendRegister(credentials("Authorization", field(m, "WWW-Authenticate"), p.user, "sip:"+domain))
	case status == 200 && !p.authed:
		g.fail(&p.unit, "200 without a challenge", m)
	case status == 200:
		g.heard(&p.asking)
		if !p.restored(uriOf(field(m, "Contact"))) {
			g.fail(&p.unit, "the Contact in the 200 is not the phone's", m)
			return
		}
		g.end(&p.unit)
	default:
		g.heard(&p.asking)
		g.fail(&p.unit, "a registration was refused", m)
	}
}

// restored tells whether a Contact is the phone's own again. Kamailio adds the
// transport of its other side.
func (p *phone) restored(uri string) bool {
	own := p.party.contact()
	return uri == own || p.g.hides == "" && strings.HasPrefix(uri, own+";")
}
