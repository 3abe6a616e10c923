package app_test

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"pinhole/internal/metrics"
	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// respond lets the provider answer a request by hand: status is "486 Busy",
// lines are whole header lines.
func (w *world) respond(m *peer.Message, status string, lines []string, body string) {
	w.t.Helper()
	w.must(w.prov.SendRaw(m.Flow, answerTo(m, status, lines, body)))
}

// answerTo writes a response with the request's own lines.
func answerTo(m *peer.Message, status string, lines []string, body string) string {
	var b strings.Builder
	b.WriteString("SIP/2.0 " + status + "\r\n")
	for _, name := range []string{"Via", "Record-Route", "From", "To", "Call-ID", "CSeq"} {
		for _, v := range m.Values(name) {
			if name == "To" && !strings.Contains(v, ";tag=") && !strings.HasPrefix(status, "100") {
				v += ";tag=byhand"
			}
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

// branchOf returns the branch of a message's only Via, and fails where it has
// another number of them.
func (w *world) branchOf(m *peer.Message) string {
	w.t.Helper()
	vias := m.Elems("via")
	if len(vias) != 1 {
		w.t.Fatalf("%d Vias in\n%s", len(vias), m.Raw)
	}
	_, after, ok := strings.Cut(vias[0], ";branch=")
	if !ok {
		w.t.Fatalf("no branch in %q", vias[0])
	}
	branch, _, _ := strings.Cut(after, ";")
	return branch
}

// lines returns a message's header lines but those of the names given.
func lines(m *peer.Message, without ...string) []string {
	head, _, _ := strings.Cut(m.Raw, "\r\n\r\n")
	var out []string
	skip := false
	for _, l := range strings.Split(head, "\r\n")[1:] {
		if l[0] != ' ' && l[0] != '\t' {
			name, _, _ := strings.Cut(l, ":")
			skip = slices.ContainsFunc(without, func(n string) bool { return strings.EqualFold(n, strings.TrimSpace(name)) })
		}
		if !skip {
			out = append(out, l)
		}
	}
	return out
}

// ours are the headers that differ between the two sides by design; all else
// passes byte for byte and in its order.
var ours = []string{"Via", "Contact", "Max-Forwards", "Route", "Record-Route", "Content-Length", "Call-ID"}

// passed fails unless got is what sent became on its way: the same header lines
// in the same order but for ours and those named, and the same body but where
// it is SDP.
func (w *world) passed(sent, got *peer.Message, but ...string) {
	w.t.Helper()
	if sent == nil || got == nil {
		w.t.Fatalf("sent %v, got %v", sent, got)
	}
	without := append(slices.Clone(ours), but...)
	a, b := lines(sent, without...), lines(got, without...)
	if !slices.Equal(a, b) {
		w.t.Errorf("sent\n%s\ngot\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	if sent.Get("content-type") != "application/sdp" && sent.Body() != got.Body() {
		w.t.Errorf("body %q became %q", sent.Body(), got.Body())
	}
}

// last returns the last message of a list and fails where there is none.
func (w *world) last(list []*peer.Message) *peer.Message {
	w.t.Helper()
	if len(list) == 0 {
		w.t.Fatalf("no such message\nlog:\n%s", w.log)
	}
	return list[len(list)-1]
}

// sleep lets time pass, and all that happens in it.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// raw is a phone that sends literal bytes.
func (w *world) raw(h *memnet.Host, proto string) *peer.RawPhone {
	w.t.Helper()
	p, err := peer.NewRawPhone(w.ctx, h, proto, netip.AddrPort{}, netip.MustParseAddrPort(lanProxy+":5060"), nil)
	w.must(err)
	w.closers = append([]func(){p.Close}, w.closers...)
	return p
}

// withStatus keeps the responses of a status.
func withStatus(list []*peer.Message, status int) []*peer.Message {
	return slices.DeleteFunc(list, func(m *peer.Message) bool { return m.Status() != status })
}

// request matches a request received, by its method.
func request(method string) func(*peer.Message) bool {
	return func(m *peer.Message) bool { return !m.Sent && m.IsRequest() && m.Method() == method }
}

// uriOf returns what stands in the brackets of a name-addr.
func uriOf(nameAddr string) string {
	_, after, _ := strings.Cut(nameAddr, "<")
	uri, _, _ := strings.Cut(after, ">")
	return uri
}

// rawRegister registers a raw phone.
func (w *world) rawRegister(p *peer.RawPhone, user, password string) *peer.Message {
	w.t.Helper()
	m, err := p.Authorised(w.within(5*time.Second), "REGISTER sip:"+domain+` SIP/2.0
Via: SIP/2.0/{proto} {addr};branch={branch};rport
From: <sip:`+user+"@"+domain+`>;tag={tag}
To: <sip:`+user+"@"+domain+`>
Call-ID: {callid}-reg
CSeq: {cseq} REGISTER
Contact: <sip:`+user+`@{addr};transport={proto}>
Max-Forwards: 70
Content-Length: 0

`, user, password)
	w.must(err)
	if m.Status() != 200 {
		w.t.Fatalf("registering %s: %s\nlog:\n%s", user, m.Start(), w.log)
	}
	return m
}

// settled fails unless every transaction, call and media session ends within a
// minute; our own probes may be under way in between.
func (w *world) settled() {
	w.t.Helper()
	for range 60 {
		if len(w.pending()) == 0 {
			return
		}
		w.sleep(time.Second)
	}
	w.t.Errorf("left open: %v", w.pending())
}

// pending counts what is open now, by what it is.
func (w *world) pending() map[string]int {
	n := func(begun metrics.Counter, over ...metrics.Counter) int {
		left := int(w.count.Get(begun))
		for _, o := range over {
			left -= int(w.count.Get(o))
		}
		return left
	}
	synctest.Wait()
	all := map[string]int{
		"server transactions": n(metrics.ServersBegun, metrics.ServersEnded),
		"client transactions": n(metrics.ClientsBegun, metrics.ClientsEnded),
		"calls":               n(metrics.CallsIn, metrics.CallsEnded, metrics.CallsFailed) + int(w.count.Get(metrics.CallsOut)),
		"media ports":         n(metrics.MediaPortsOpened, metrics.MediaPortsClosed),
	}
	maps.DeleteFunc(all, func(_ string, n int) bool { return n == 0 })
	return all
}

// dialog is a template of a raw phone's request to a user of the domain; more
// are further header lines and, behind an empty line, a body.
func dialog(method, user, target, more string) string {
	if !strings.Contains(more, "\n\n") {
		more += "\n\n"
	}
	return method + " " + target + ` SIP/2.0
Via: SIP/2.0/{proto} {addr};branch={branch};rport
From: <sip:` + user + "@" + domain + `>;tag={tag}
To: <` + target + `>
Call-ID: {callid}@{host}
CSeq: {cseq} ` + method + `
Contact: <sip:` + user + `@{addr};transport={proto}>
Max-Forwards: 70
Content-Length: {length}
` + more
}

// open lets calls in without a challenge.
func open(c *peer.ProviderConfig) { c.Quirks.OpenInvite = true }

// write puts a file into the program's directory.
func (w *world) write(name, content string) {
	w.t.Helper()
	w.must(os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600))
}
