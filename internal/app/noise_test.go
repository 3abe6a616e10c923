package app_test

import (
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// A phone that is set up for another provider tries for ever: it is answered
// each time, and the log names it once a minute.
func TestRefusalsAreLoggedOnceAMinute(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		said := func() int { return strings.Count(w.log.String(), `msg="request refused"`) }
		a, b := w.raw(w.phoneA, peer.UDP), w.raw(w.phoneB, peer.UDP)
		ask := func(p *peer.RawPhone) {
			t.Helper()
			m, err := p.Exchange(w.within(5*time.Second), `OPTIONS sip:bob@elsewhere.example SIP/2.0
Via: SIP/2.0/{proto} {addr};branch={branch};rport
From: <sip:alice@elsewhere.example>;tag={tag}
To: <sip:bob@elsewhere.example>
Call-ID: {callid}
CSeq: {cseq} OPTIONS
Max-Forwards: 70
Content-Length: 0

`)
			w.must(err)
			if m.Status() != 403 {
				t.Errorf("answered with %s", m.Start())
			}
		}
		start := time.Now()
		for range 100 {
			ask(a)
		}
		ask(b)
		if n := said(); n != 2 {
			t.Errorf("the log has %d lines for two phones", n)
		}
		time.Sleep(time.Until(start.Add(time.Minute - 1)))
		ask(a)
		if n := said(); n != 2 {
			t.Errorf("the log has %d lines before the minute is over", n)
		}
		time.Sleep(time.Until(start.Add(time.Minute)) + time.Second)
		ask(a)
		if n := said(); n != 3 {
			t.Errorf("the log has %d lines after a minute, want 3", n)
		}
	})
}

// What a provider's parser may hang up on, and so on all phones, does not reach
// it (RFC 3986 §2 has no such octets); nor does a Route that is not ours though
// it names us show us.
func TestHazardsStayHere(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		a := w.raw(w.phoneA, peer.UDP)
		ask := func(method, from, to, route string) {
			t.Helper()
			_, err := a.Send(method + " sip:bob@" + domain + ` SIP/2.0
Via: SIP/2.0/{proto} {addr};branch={branch};rport
` + route + `From: ` + from + `;tag={tag}
To: ` + to + `
Call-ID: {callid}
CSeq: {cseq} ` + method + `
Max-Forwards: 70
Content-Length: 0

`)
			w.must(err)
		}
		good, bad := "<sip:bob@"+domain+">", []string{"<sip:b\\b@" + domain + ">", "<sip:bob@sip.example.\\om>", "<sip:bob@>", "<bob>", "<sip:b|b@" + domain + ">"}
		for _, b := range bad {
			for _, method := range []string{"OPTIONS", "ACK"} {
				ask(method, good, b, "")
				ask(method, b, good, "")
			}
		}
		ask("OPTIONS", good, good, "")
		ask("OPTIONS", "<sip:*21#@"+domain+">", good, "Route: <SIP:"+lanProxy+":05060;lr>\nRoute: <tel:123;phone-context="+lanProxy+">\n")
		answers := map[int]int{}
		for range 2*len(bad) + 2 {
			m, err := a.Receive(w.within(10 * time.Second))
			w.must(err)
			answers[m.Status()]++
		}
		if answers[400] != 2*len(bad) || answers[200] != 2 {
			t.Errorf("answers: %v", answers)
		}
		for _, m := range w.prov.Received("") {
			if strings.ContainsAny(m.Get("from")+m.Get("to"), "\\|") || m.Method() == "ACK" {
				t.Errorf("the provider got %s", m.Raw)
			}
		}
		w.clean()
	})
}
