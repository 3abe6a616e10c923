package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"pinhole/internal/transport"
)

// A ua makes and takes calls over an endpoint: a phone, or the callers outside
// that a provider plays.
type ua struct {
	*endpoint
	name     string                                      // User-Agent
	mediaNet transport.Net                               // where RTP sockets are opened
	mediaIP  func() netip.Addr                           // zero: no audio
	latch    bool                                        // RTP follows its source
	path     func(context.Context, *Call) (*Flow, error) // where a call's requests go now
	contact  func(*Flow) string                          // Contact value in dialogs
	editSDP  func(string) string                         // last word on offers and answers; may be nil
	record   func() []string                             // Record-Route values of our answers; may be nil
	reliable bool                                        // provisional responses are acknowledged (RFC 3262)

	umu   sync.Mutex
	calls []*Call
	fresh []*Call // incoming, not yet taken by Expect
	came  bell
}

// Calls returns all calls so far, oldest first.
func (u *ua) Calls() []*Call {
	u.umu.Lock()
	defer u.umu.Unlock()
	return append([]*Call(nil), u.calls...)
}

// expect returns the next incoming call that nobody has taken yet.
func (u *ua) expect(ctx context.Context) (*Call, error) {
	var c *Call
	err := u.came.wait(ctx, func() bool {
		u.umu.Lock()
		defer u.umu.Unlock()
		if len(u.fresh) == 0 {
			return false
		}
		c, u.fresh = u.fresh[0], u.fresh[1:]
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("expecting a call: %w", err)
	}
	return c, nil
}

// newCall makes a call with its audio and notes it.
func (u *ua) newCall(out bool) (*Call, error) {
	c := &Call{ua: u, out: out, localTag: random(10), sdpID: 1 + uint64(len(u.Calls())), direction: "sendrecv"}
	if ip := u.mediaIP(); ip.IsValid() {
		m, err := newMedia(u.ctx, u.mediaNet, ip, u.latch)
		if err != nil {
			return nil, fmt.Errorf("opening RTP sockets: %w", err)
		}
		c.media = m
	}
	u.umu.Lock()
	u.calls = append(u.calls, c)
	u.umu.Unlock()
	return c, nil
}

// incoming makes a call of an INVITE outside any dialog.
func (u *ua) incoming(r *Request) (*Call, error) {
	c, err := u.newCall(false)
	if err != nil {
		return nil, err
	}
	c.req, c.invite, c.last = r, r.Message, r.Flow
	c.callID, c.remoteTag, c.localTag = r.CallID(), tag(r.Get("from")), r.toTag
	c.local, c.remote = r.Get("to")+";tag="+r.toTag, r.Get("from")
	c.target = aor(r.Get("contact"))
	c.routes = r.Elems("record-route")
	c.remoteSeq, _ = r.CSeq()
	c.takeSDP(r.Body())
	r.onCancel(func(m *Message) {
		_ = r.Respond(487, "", nil, "")
		c.end(m)
	})
	_ = r.Respond(100, "", nil, "")
	return c, nil
}

// offer hands an incoming call to Expect.
func (u *ua) offer(c *Call) {
	u.umu.Lock()
	u.fresh = append(u.fresh, c)
	u.umu.Unlock()
	u.came.ring()
}

// call finds the call of an in-dialog request; nil if there is none.
func (u *ua) call(r *Request) *Call {
	local, remote := tag(r.Get("to")), tag(r.Get("from"))
	var early *Call
	for _, c := range u.Calls() {
		switch c.isDialog(r.CallID(), local, remote) {
		case 2:
			return c
		case 1:
			early = c
		}
	}
	return early
}

// inDialog handles a request that belongs to a call.
func (u *ua) inDialog(c *Call, r *Request) {
	c.mu.Lock()
	c.last = r.Flow
	if seq, _ := r.CSeq(); seq > c.remoteSeq {
		c.remoteSeq = seq
	}
	over := c.over
	c.mu.Unlock()
	if over && r.Method() != "ACK" && r.Method() != "BYE" {
		_ = r.Respond(481, "", nil, "")
		return
	}
	switch r.Method() {
	case "ACK":
		c.acknowledged(r.Message)
	case "PRACK":
		c.acknowledgedEarly(r)
	case "BYE":
		_ = r.Respond(200, "", nil, "")
		c.end(r.Message)
	case "INVITE":
		c.reinvited(r)
	case "UPDATE":
		c.updated(r)
	case "REFER":
		_ = r.Respond(202, "", []string{"Contact: " + u.contact(r.Flow)}, "")
	default:
		_ = r.Respond(200, "", nil, "")
	}
	c.ring()
}

// outside answers a request that belongs to no dialog and is no INVITE.
func (u *ua) outside(r *Request) {
	switch r.Method() {
	case "ACK":
	case "OPTIONS", "MESSAGE", "NOTIFY", "INFO", "PUBLISH":
		_ = r.Respond(200, "", nil, "")
	case "SUBSCRIBE":
		_ = r.Respond(200, "", []string{"Contact: " + u.contact(r.Flow), "Expires: 600"}, "")
	case "REFER":
		_ = r.Respond(202, "", []string{"Contact: " + u.contact(r.Flow)}, "")
	case "BYE", "UPDATE", "PRACK":
		_ = r.Respond(481, "", nil, "")
	default:
		_ = r.Respond(501, "", nil, "")
	}
}

// A form is what a request outside a dialog is built from.
type form struct {
	method, uri, from, to, callID string
	seq                           uint32
	contact                       string // "" for none
	routes                        []string
	extra                         []string // header lines
	body                          string
	repeat                        func(*Message) // a further 2xx to an INVITE; may be nil
}

// write builds the request for a flow, with a fresh branch.
func (u *ua) write(f *Flow, q form) string {
	via := fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK%s;rport", strings.ToUpper(f.proto), f.local, random(16))
	t := text{start: q.method + " " + q.uri + " SIP/2.0", body: q.body}
	t.fields = []field{{"Via", via}, {"Max-Forwards", "70"}}
	for _, r := range q.routes {
		t.fields = append(t.fields, field{"Route", r})
	}
	t.fields = append(t.fields, field{"From", q.from}, field{"To", q.to}, field{"Call-ID", q.callID},
		field{"CSeq", fmt.Sprintf("%d %s", q.seq, q.method)})
	if q.contact != "" {
		t.fields = append(t.fields, field{"Contact", q.contact})
	}
	t.fields = append(t.fields, field{"User-Agent", u.name})
	for _, line := range q.extra {
		name, value, _ := strings.Cut(line, ":")
		t.fields = append(t.fields, field{name, strings.TrimLeft(value, " ")})
	}
	t.fields = append(t.fields, field{"Content-Length", strconv.Itoa(len(q.body))})
	return t.String()
}

// exchange sends a request outside a dialog and answers up to two challenges,
// counting q.seq up for each try. It returns the final response.
func (u *ua) exchange(ctx context.Context, f *Flow, q *form, creds *credentials) (*Message, error) {
	extra := q.extra
	for try := 0; ; try++ {
		q.seq++
		if creds != nil && creds.chal != nil {
			q.extra = append(extra[:len(extra):len(extra)], creds.line(q.method, q.uri, q.body))
		}
		tx, err := u.send(f, u.write(f, *q), q.repeat)
		if err != nil {
			return nil, err
		}
		m, err := tx.finalResponse(ctx)
		q.extra = extra
		if err != nil {
			return nil, err
		}
		if (m.Status() != 401 && m.Status() != 407) || creds == nil || try == 2 {
			return m, nil
		}
		if err := creds.take(m); err != nil {
			return m, err
		}
	}
}

// shut ends the endpoint and the audio of all calls.
func (u *ua) shut() {
	u.close()
	for _, c := range u.Calls() {
		if c.media != nil {
			c.media.close()
		}
	}
}

// errGone says that a call is over.
var errGone = errors.New("peer: the call is over")
