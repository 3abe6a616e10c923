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
