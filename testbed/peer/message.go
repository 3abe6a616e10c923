package peer

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Message is one SIP message as it went over the wire, with when and where.
// It is not changed after it was recorded.
type Message struct {
	At    time.Time
	Raw   string
	From  netip.AddrPort // source of the bytes, as this peer saw it
	To    netip.AddrPort // where they went
	Proto string         // "udp", "tcp" or "tls"
	Sent  bool           // by this peer; else received
	Flow  *Flow          // the path it came or went on

	text text
}

// newMessage reads raw; nil when it is no SIP message.
func newMessage(raw string) *Message {
	t, ok := split(raw)
	if !ok {
		return nil
	}
	return &Message{At: time.Now(), Raw: raw, text: t}
}

// Status returns the status code of a response, 0 of a request.
func (m *Message) Status() int {
	if !strings.HasPrefix(m.text.start, "SIP/2.0 ") || len(m.text.start) < 11 {
		return 0
	}
	n, err := strconv.Atoi(m.text.start[8:11])
	if err != nil {
		return 0
	}
	return n
}

// IsRequest says whether m is a request.
func (m *Message) IsRequest() bool { return m.Status() == 0 }

// Start returns the start line.
func (m *Message) Start() string { return m.text.start }

// Method returns the method of a request, or that of a response's CSeq.
func (m *Message) Method() string {
	if m.IsRequest() {
		method, _, _ := strings.Cut(m.text.start, " ")
		return method
	}
	_, method := m.CSeq()
	return method
}

// URI returns the Request-URI, "" of a response.
func (m *Message) URI() string {
	parts := strings.Split(m.text.start, " ")
	if !m.IsRequest() || len(parts) != 3 {
		return ""
	}
	return parts[1]
}

// Get returns the value of the first line of a header, long or compact, as
// written; "" if there is none.
func (m *Message) Get(name string) string { return m.text.first(name) }

// Values returns the values of all lines of a header.
func (m *Message) Values(name string) []string { return m.text.values(name) }

// Elems returns the comma-separated elements of all lines of a header.
func (m *Message) Elems(name string) []string { return m.text.elems(name) }

// CSeq returns the number and method of the CSeq header; 0 when it is broken.
func (m *Message) CSeq() (uint32, string) {
	f := strings.Fields(m.Get("cseq"))
	if len(f) != 2 {
		return 0, ""
	}
	n, err := strconv.ParseUint(f[0], 10, 32)
	if err != nil {
		return 0, ""
	}
	return uint32(n), f[1]
}

// CallID returns the Call-ID.
func (m *Message) CallID() string { return m.Get("call-id") }

// Body returns the body.
func (m *Message) Body() string { return m.text.body }

// branch returns the branch parameter of the top Via.
func (m *Message) branch() string {
	vias := m.Elems("via")
	if len(vias) == 0 {
		return ""
	}
	_, params, _ := strings.Cut(vias[0], ";")
	b, _ := param(";"+params, "branch")
	return b
}

// A Journal records every message that a peer sent and received. Safe for
// concurrent use.
type Journal struct {
	mu  sync.Mutex
	log []*Message
	bell
}

func (j *Journal) add(m *Message) {
	j.mu.Lock()
	j.log = append(j.log, m)
	j.mu.Unlock()
	j.ring()
}

// Messages returns all messages so far, oldest first.
func (j *Journal) Messages() []*Message {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]*Message(nil), j.log...)
}

// Received returns the requests received with this method, "" for all methods.
func (j *Journal) Received(method string) []*Message {
	return j.filter(func(m *Message) bool {
		return !m.Sent && m.IsRequest() && (method == "" || m.Method() == method)
	})
}

// Responses returns the responses received to this method, "" for all methods.
func (j *Journal) Responses(method string) []*Message {
	return j.filter(func(m *Message) bool {
		return !m.Sent && !m.IsRequest() && (method == "" || m.Method() == method)
	})
}

// Sent returns the messages sent, requests and responses, with this method.
func (j *Journal) Sent(method string) []*Message {
	return j.filter(func(m *Message) bool { return m.Sent && (method == "" || m.Method() == method) })
}

func (j *Journal) filter(keep func(*Message) bool) []*Message {
	var out []*Message
	for _, m := range j.Messages() {
		if keep(m) {
			out = append(out, m)
		}
	}
	return out
}

// Wait returns the first message, past or future, that match accepts, or ctx's
// error.
func (j *Journal) Wait(ctx context.Context, match func(*Message) bool) (*Message, error) {
	var found *Message
	next := 0
	err := j.wait(ctx, func() bool {
		j.mu.Lock()
		log := j.log
		j.mu.Unlock()
		for ; next < len(log); next++ {
			if match(log[next]) {
				found = log[next]
				return true
			}
		}
		return false
	})
	return found, err
}

// WaitRequest waits for the n-th (from 1) request of a method to be received.
func (j *Journal) WaitRequest(ctx context.Context, method string, n int) (*Message, error) {
	return j.Wait(ctx, func(m *Message) bool {
		if !m.Sent && m.IsRequest() && m.Method() == method {
			n--
		}
		return n == 0
	})
}

// A bell wakes everybody who waits for a condition to be looked at again. The
// zero value is ready.
type bell struct {
	bmu sync.Mutex
	ch  chan struct{}
}

func (b *bell) ring() {
	b.bmu.Lock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
	b.bmu.Unlock()
}

// wait returns nil once cond holds, or ctx's error. cond is called after each
// ring and must not block.
func (b *bell) wait(ctx context.Context, cond func() bool) error {
	for {
		b.bmu.Lock()
		if b.ch == nil {
			b.ch = make(chan struct{})
		}
		ch := b.ch
		b.bmu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
