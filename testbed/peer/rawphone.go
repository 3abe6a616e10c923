package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"pinhole/internal/transport"
)

// A RawPhone sends literal bytes and gives back what came as it came: no
// transaction, no repetition, no answer of its own. Not safe for concurrent
// use.
type RawPhone struct {
	*endpoint
	flow  *Flow
	taken int
	vars  map[string]string
}

// NewRawPhone opens a socket or connection to proxy from local (zero: the
// system's choice).
func NewRawPhone(ctx context.Context, n transport.Net, proto string, local, proxy netip.AddrPort, conf *tls.Config) (*RawPhone, error) {
	ep := newEndpoint(n, nil)
	ep.raw = true
	r := &RawPhone{endpoint: ep}
	var err error
	if !local.IsValid() {
		src, err := n.Source(proxy.Addr())
		if err != nil {
			return nil, fmt.Errorf("finding the phone's address: %w", err)
		}
		local = netip.AddrPortFrom(src, 0)
	}
	if proto == UDP {
		pc, e := ep.listenUDP(local)
		if err = e; err == nil {
			r.flow = ep.udpFlow(pc, proxy)
		}
	} else {
		r.flow, err = ep.dial(ctx, proto, local, proxy, conf)
	}
	if err != nil {
		ep.close()
		return nil, fmt.Errorf("opening the phone's socket: %w", err)
	}
	r.vars = map[string]string{
		"addr": r.flow.local.String(), "host": hostText(r.flow.local.Addr()),
		"port": strconv.Itoa(int(r.flow.local.Port())), "proto": strings.ToUpper(proto),
		"proxy": proxy.String(), "callid": random(16), "tag": random(8), "cseq": "1",
	}
	return r, nil
}

// Close ends the phone and waits for its goroutines.
func (r *RawPhone) Close() { r.close() }

// Flow returns the phone's path to its proxy.
func (r *RawPhone) Flow() *Flow { return r.flow }

// Set gives a variable of the templates a value.
func (r *RawPhone) Set(name, value string) { r.vars[name] = value }

// Fill makes a message of a template: line ends become CRLF, {name} the value
// of a variable: addr, host, port, proto (UDP …), proxy, callid, tag, cseq, a
// fresh {branch}, {length} (of the body), and what Set set.
func (r *RawPhone) Fill(template string) string {
	s := strings.ReplaceAll(strings.ReplaceAll(template, "\r\n", "\n"), "\n", "\r\n")
	r.vars["branch"] = "z9hG4bK" + random(16)
	for name, value := range r.vars {
		s = strings.ReplaceAll(s, "{"+name+"}", value)
	}
	_, body, _ := strings.Cut(s, "\r\n\r\n")
	return strings.ReplaceAll(s, "{length}", strconv.Itoa(len(body)))
}

// Send fills a template and sends it; the bytes sent are returned.
func (r *RawPhone) Send(template string) (string, error) {
	raw := r.Fill(template)
	if newMessage(raw) == nil {
		return raw, r.flow.Send([]byte(raw))
	}
	return raw, r.sendRaw(r.flow, raw)
}

// SendBytes sends bytes as they are, a message or not, whole or in part.
func (r *RawPhone) SendBytes(b []byte) error { return r.flow.Send(b) }

// Receive returns the next message that came in.
func (r *RawPhone) Receive(ctx context.Context) (*Message, error) {
	var m *Message
	err := r.wait(ctx, func() bool {
		for all := r.Messages(); r.taken < len(all); {
			m = all[r.taken]
			r.taken++
			if !m.Sent {
				return true
			}
		}
		return false
	})
	return m, wrap("waiting for a message", err)
}

// Exchange sends a template and returns the final response to it.
func (r *RawPhone) Exchange(ctx context.Context, template string) (*Message, error) {
	raw, err := r.Send(template)
	if err != nil {
		return nil, err
	}
	branch := newMessage(raw).branch()
	for {
		m, err := r.Receive(ctx)
		if err != nil {
			return nil, err
		}
		if !m.IsRequest() && m.Status() >= 200 && m.branch() == branch {
			return m, nil
		}
	}
}

// Authorised is Exchange with one challenge answered: the template, which must
// use {cseq} and {branch}, is sent again with the next CSeq and a credentials
// line before its empty line.
func (r *RawPhone) Authorised(ctx context.Context, template, user, password string) (*Message, error) {
	m, err := r.Exchange(ctx, template)
	if err != nil || (m.Status() != 401 && m.Status() != 407) {
		return m, err
	}
	creds := credentials{user: user, password: password}
	if err := creds.take(m); err != nil {
		return m, err
	}
	n, err := strconv.Atoi(r.vars["cseq"])
	if err != nil {
		return m, fmt.Errorf("counting cseq up: %w", err)
	}
	r.vars["cseq"] = strconv.Itoa(n + 1)
	sent := newMessage(r.Fill(template))
	line := creds.line(sent.Method(), sent.URI(), sent.Body())
	head, body, _ := strings.Cut(strings.ReplaceAll(template, "\r\n", "\n"), "\n\n")
	return r.Exchange(ctx, head+"\n"+line+"\n\n"+body)
}

// Respond answers a request that was received; extra are header lines.
func (r *RawPhone) Respond(m *Message, status int, extra []string, body string) error {
	q := &Request{Message: m, ep: r.endpoint, toTag: random(10)}
	return r.sendRaw(m.Flow, q.answer(status, "", extra, body))
}
