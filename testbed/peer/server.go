package peer

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// A Request is a request that arrived and waits for its answer.
type Request struct {
	*Message
	ep    *endpoint
	key   string
	tx    *sip.ServerTx
	toTag string // ours, the same in all responses

	mu        sync.Mutex
	cancelled func(*Message) // called once when CANCEL comes
	final     int
}

// parse reads raw with sipgo.
func (ep *endpoint) parse(f *Flow, raw string) (sip.Message, error) {
	m, err := ep.parser.ParseSIP([]byte(raw))
	if err != nil {
		return nil, fmt.Errorf("parsing %.60q: %w", raw, err)
	}
	m.SetTransport(strings.ToUpper(f.proto))
	m.SetSource(f.remote.String())
	m.SetDestination(f.remote.String())
	return m, nil
}

// arrived handles one message from a flow.
func (ep *endpoint) arrived(f *Flow, raw string) {
	m := newMessage(raw)
	if m == nil {
		return
	}
	ep.record(f, m, false)
	if ep.raw {
		return
	}
	parsed, err := ep.parse(f, raw)
	if err != nil {
		return
	}
	switch p := parsed.(type) {
	case *sip.Response:
		ep.response(m, p)
	case *sip.Request:
		ep.request(m, p)
	}
}

// serverKey names the server transaction of a request (RFC 3261 §17.2.3).
func serverKey(m *Message, method string) string {
	vias := m.Elems("via")
	if len(vias) == 0 {
		return ""
	}
	sentBy, _, _ := strings.Cut(vias[0], ";")
	return m.branch() + " " + sentBy + " " + method
}

func (ep *endpoint) request(m *Message, p *sip.Request) {
	method := m.Method()
	look := method
	if method == "ACK" || method == "CANCEL" {
		look = "INVITE"
	}
	ep.emu.Lock()
	known := ep.servers[serverKey(m, look)]
	ep.emu.Unlock()
	switch {
	case method == "CANCEL":
		ep.cancelCame(m, known)
	case method == "ACK":
		if known != nil && known.finalStatus() >= 300 {
			_ = known.tx.Receive(p)
			return
		}
		ep.handler(&Request{Message: m, ep: ep})
	case known != nil:
		_ = known.tx.Receive(p)
	default:
		ep.newServer(m, p)
	}
}

func (ep *endpoint) newServer(m *Message, p *sip.Request) {
	r := &Request{Message: m, ep: ep, key: serverKey(m, m.Method()), toTag: random(10)}
	w := &wire{flow: m.Flow, out: map[sip.Message]string{}}
	r.tx = sip.NewServerTx(r.key, p, w, quiet)
	ep.emu.Lock()
	if ep.done {
		ep.emu.Unlock()
		return
	}
	ep.servers[r.key] = r
	ep.emu.Unlock()
	r.tx.OnTerminate(func(string, error) {
		ep.emu.Lock()
		delete(ep.servers, r.key)
		ep.emu.Unlock()
	})
	if err := r.tx.Init(); err != nil {
		return
	}
	ep.handler(r)
}

// cancelCame answers a CANCEL and tells the INVITE's owner.
func (ep *endpoint) cancelCame(m *Message, invite *Request) {
	r := &Request{Message: m, ep: ep, toTag: random(10)}
	if invite == nil {
		_ = ep.sendRaw(m.Flow, r.answer(481, "", nil, ""))
		return
	}
	r.toTag = invite.toTag
	_ = ep.sendRaw(m.Flow, r.answer(200, "", nil, ""))
	invite.mu.Lock()
	f := invite.cancelled
	invite.cancelled = nil
	invite.mu.Unlock()
	if f != nil {
		f(m)
	}
}

// onCancel sets what is called when the request is cancelled.
func (r *Request) onCancel(f func(*Message)) {
	r.mu.Lock()
	r.cancelled = f
	r.mu.Unlock()
}

func (r *Request) finalStatus() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.final
}

// Respond answers the request. An empty reason is the usual one; extra are
// header lines "Name: value"; a body needs its Content-Type among them.
func (r *Request) Respond(status int, reason string, extra []string, body string) error {
	return r.respondRaw(r.answer(status, reason, extra, body))
}

// respondRaw sends a response whose bytes are ready.
func (r *Request) respondRaw(raw string) error {
	if r.tx == nil {
		return fmt.Errorf("peer: %s has no transaction to answer in", r.Method())
	}
	parsed, err := r.ep.parse(r.Flow, raw)
	if err != nil {
		return err
	}
	res, ok := parsed.(*sip.Response)
	if !ok {
		return fmt.Errorf("peer: not a response: %.40q", raw)
	}
	r.tx.Connection().(*wire).hold(res, raw)
	if res.StatusCode >= 200 {
		r.mu.Lock()
		r.final = res.StatusCode
		r.mu.Unlock()
	}
	return r.tx.Respond(res)
}

// Drop forgets the request: it gets no answer, not even the 100 that a
// transaction would send by itself.
func (r *Request) Drop() { r.tx.Terminate() }

// answer builds a response: Via, From, To, Call-ID, CSeq and Record-Route are
// the request's own bytes, with received and rport in the top Via (RFC 3581).
func (r *Request) answer(status int, reason string, extra []string, body string) string {
	if reason == "" {
		reason = reasons[status]
	}
	t := text{start: fmt.Sprintf("SIP/2.0 %d %s", status, reason), body: body}
	for i, v := range r.Values("via") {
		if i == 0 {
			v = r.stampVia(v)
		}
		t.fields = append(t.fields, field{"Via", v})
	}
	if status > 100 && status < 300 && r.Method() != "REGISTER" {
		for _, v := range r.Values("record-route") {
			t.fields = append(t.fields, field{"Record-Route", v})
		}
	}
	to := r.Get("to")
	if status > 100 && tag(to) == "" {
		to += ";tag=" + r.toTag
	}
	t.fields = append(t.fields, field{"From", r.Get("from")}, field{"To", to},
		field{"Call-ID", r.CallID()}, field{"CSeq", r.Get("cseq")})
	for _, line := range extra {
		name, value, _ := strings.Cut(line, ":")
		t.fields = append(t.fields, field{name, strings.TrimLeft(value, " ")})
	}
	t.fields = append(t.fields, field{"Content-Length", strconv.Itoa(len(body))})
	return t.String()
}

// stampVia writes received and rport into the first element of a Via line.
func (r *Request) stampVia(v string) string {
	if r.ep.plainVia != nil && r.ep.plainVia() {
		return v
	}
	elems := splitList(v, ',')
	parts := splitList(elems[0], ';')
	rport := false
	for i, p := range parts {
		if strings.EqualFold(p, "keep") && r.ep.keep != nil && r.ep.keep() > 0 {
			parts[i] = "keep=" + strconv.Itoa(r.ep.keep())
		}
		if strings.EqualFold(p, "rport") {
			parts[i] = "rport=" + strconv.Itoa(int(r.From.Port()))
			rport = true
		}
	}
	f := strings.Fields(parts[0])
	if rport || !strings.HasPrefix(f[len(f)-1]+":", hostText(r.From.Addr())+":") {
		parts = append(parts, "received="+r.From.Addr().String())
	}
	elems[0] = strings.Join(parts, ";")
	return strings.Join(elems, ", ")
}
