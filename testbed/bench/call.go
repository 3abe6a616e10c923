//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

// How long a phone rings and how long the two talk. What remains of a call's
// time is the proxy's and the generator's.
const (
	ringTime = 100 * time.Millisecond
	talkTime = 400 * time.Millisecond
)

// dialled is the number that phones call.
const dialled = "+49301234567"

// A call goes INVITE, 180, 200, ACK, BYE, 200 between a phone and the
// provider; one from a phone is challenged first.
type call struct {
	g              *generator
	id             string
	phone          *phone
	in             bool   // to the phone
	caller, callee *party // callee of an outbound call is the path it came on

	unit          unit
	asking        ask    // the caller's request
	answering     ask    // the callee's 200, until the ACK
	uri, from, to string // the dialog as the caller sees it
	route         string
	cseq          int
	branch        string
	rang, up      bool // what the caller has seen
	acked, hungUp bool // what the callee has seen
	nonce         string
	last, inviter string // the callee's last response, and to which CSeq
}

// startCall begins a call; an inbound one needs the phone to be registered.
func (g *generator) startCall(p *phone, in bool) {
	n := g.next()
	c := &call{g: g, id: "call-" + n + "-3848276298220188511", phone: p, in: in}
	line := "<sip:" + p.user + "@" + domain + ">"
	other := "<sip:" + dialled + "@" + domain + ">"
	c.from, c.to, c.uri = line+";tag=a"+n, other, "sip:"+dialled+"@"+domain
	c.caller = p.party
	if in {
		b := g.bindings[p.user]
		c.from, c.to, c.uri = other+";tag=a"+n, line, b.contact
		c.caller, c.callee = b.path, p.party
	}
	g.calls[c.id] = c
	g.begin(&c.unit)
	c.invite("")
}

func (c *call) invite(auth string) {
	c.cseq++
	c.branch = "z9hG4bKc" + c.g.next()
	c.g.ask(&c.asking, c.caller, c.text("INVITE", auth+phoneHeaders+"Contact: <"+c.caller.contact()+">\r\n", sdp(c.caller.media)), &c.unit)
}

// text writes a request of the caller.
func (c *call) text(method, extra, body string) string {
	var b strings.Builder
	b.Grow(1500)
	b.WriteString(method + " " + c.uri + " SIP/2.0\r\n" +
		"Via: SIP/2.0/" + c.caller.proto + " " + c.caller.addr + ";rport;branch=" + c.branch + "\r\n" + c.route +
		"Max-Forwards: 70\r\nFrom: " + c.from + "\r\nTo: " + c.to + "\r\nCall-ID: " + c.id + "\r\n" +
		fmt.Sprintf("CSeq: %d %s\r\n", c.cseq, method) + extra)
	finish(&b, body)
	return b.String()
}

// response takes a response to the caller.
func (c *call) response(at *party, m string, status int) {
	n, method := cseqOf(m)
	switch {
	case at != c.caller:
		c.fail("a response went to another party", m)
	case n != c.cseq || c.unit.over:
		c.g.tally.repeated++
	case method == "BYE" && status == 200:
		c.g.heard(&c.asking)
		c.g.end(&c.unit)
		delete(c.g.calls, c.id)
	case method != "INVITE" || status >= 300 && status != 407:
		c.fail("a request was refused", m)
	case status < 200:
		c.g.heard(&c.asking)
		c.rang = c.rang || status == 180
	case status == 407:
		c.challenged(m)
	default:
		c.answered(m)
	}
}

// challenged ends the first INVITE and sends the one with credentials.
func (c *call) challenged(m string) {
	if c.in || c.cseq > 1 {
		c.fail("a second challenge", m)
		return
	}
	c.g.heard(&c.asking)
	first := c.to
	c.to = field(m, "To")
	c.caller.send(c.text("ACK", "", ""))
	c.to = first
	c.invite(credentials("Proxy-Authorization", field(m, "Proxy-Authenticate"), c.phone.user, c.uri))
}

// answered takes the 200: the caller acknowledges, talks, and hangs up.
func (c *call) answered(m string) {
	if c.up { // a repetition: so is the ACK
		c.g.tally.repeated++
		c.sendACK()
		return
	}
	c.g.heard(&c.asking)
	target := uriOf(field(m, "Contact"))
	if !c.rang || target == "" || !strings.Contains(m, "\r\nm=audio ") {
		c.fail("a 200 without 180, Contact or SDP before it", m)
		return
	}
	c.up = true
	c.to, c.uri, c.route = field(m, "To"), target, routes(m)
	c.branch = "z9hG4bKa" + c.g.next()
	c.sendACK()
	began := time.Now()
	c.g.after(talkTime, func() {
		if c.unit.over {
			return
		}
		c.unit.waited += time.Since(began)
		c.cseq++
		c.branch = "z9hG4bKb" + c.g.next()
		c.g.ask(&c.asking, c.caller, c.text("BYE", "", ""), &c.unit)
	})
}

func (c *call) sendACK() { c.caller.send(c.text("ACK", "", "")) }

// request takes a request to the callee.
func (c *call) request(at *party, m, method string) {
	if c.callee == nil && at.phone == nil {
		c.callee = at
	}
	if at != c.callee {
		c.fail("a request went to another party", m)
		return
	}
	switch method {
	case "INVITE":
		c.invited(m)
	case "ACK":
		c.acked = c.acked || c.g.heard(&c.answering)
	case "BYE":
		if !c.acked {
			c.fail("BYE before the ACK", m)
			return
		}
		if c.hungUp {
			c.g.tally.repeated++
		}
		c.hungUp = true
		at.send(respond(m, "200 OK", "b", at.peer, "", ""))
	default:
		c.fail("a request nobody sent", m)
	}
}

// invited takes an INVITE: the provider challenges, a phone rings at once.
func (c *call) invited(m string) {
	at, cseq := c.callee, field(m, "CSeq")
	if cseq == c.inviter {
		c.g.tally.repeated++
		at.send(c.last)
		return
	}
	c.inviter = cseq
	if problem := c.problem(m); problem != "" {
		c.fail(problem, m)
		return
	}
	if !c.in && c.nonce == "" {
		c.nonce = "ZGNkOThiNzEwMmRkMmYwZTRj" + c.g.next()
		c.last = respond(m, "407 Proxy Authentication Required", "c"+c.nonce, at.peer,
			`Proxy-Authenticate: Digest realm="`+domain+`", nonce="`+c.nonce+`", algorithm=MD5, qop="auth"`+"\r\n", "")
		at.send(c.last)
		return
	}
	contact := "Contact: <" + at.contact() + ">\r\n"
	c.last = respond(m, "180 Ringing", "b", at.peer, contact, "")
	at.send(c.last)
	began := time.Now()
	c.g.after(ringTime, func() {
		if c.unit.over {
			return
		}
		c.unit.waited += time.Since(began)
		c.last = respond(m, "200 OK", "b", at.peer, contact, sdp(at.media))
		c.g.ask(&c.answering, at, c.last, &c.unit)
		c.answering.reliable = false // a 200 is repeated over any transport
	})
}

// problem says what is wrong with an INVITE that reached the callee.
func (c *call) problem(m string) string {
	_, uri := startLine(m)
	switch {
	case !strings.Contains(m, "\r\nm=audio "):
		return "an INVITE lost its SDP"
	case c.in && hostOf(uri) != c.phone.party.addr:
		return "the Request-URI is not the phone's Contact"
	case !c.in && uri != c.uri:
		return "the Request-URI is not the one dialled"
	case !c.in && c.nonce != "" && !strings.Contains(field(m, "Proxy-Authorization"), `nonce="`+c.nonce+`"`):
		return "the nonce is not the one given"
	}
	return ""
}

func (c *call) fail(why, m string) {
	c.g.fail(&c.unit, why, m)
	delete(c.g.calls, c.id)
}
