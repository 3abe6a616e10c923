package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// day is what a phone does in a day: registers, is called, calls, is heard each
// time, and unregisters.
func (w *world) day() {
	w.t.Helper()
	alice := w.phone(w.phoneA, "alice", peer.UDP)
	w.registered(alice, "alice")
	far, near := w.called(alice, "alice")
	w.heard(far, near)
	w.must(near.Hold(w.within(5 * time.Second)))
	w.must(far.Resume(w.within(5 * time.Second)))
	w.over(near, far)
	near, far = w.answered(alice, "ring")
	w.heard(near, far)
	w.over(far, near)
	_, err := alice.Unregister(w.ctx)
	w.must(err)
	w.sleep(40 * time.Second)
	w.settled()
	w.clean()
}

// Promise 8: two-way audio whatever the NAT does, with the provider's media on
// another host than its SIP.
func TestNATs(t *testing.T) {
	kinds := map[string]memnet.Behaviour{"independent": memnet.EndpointIndependent, "address": memnet.AddressDependent, "port": memnet.AddressAndPortDependent}
	for mapping, m := range kinds {
		for filtering, f := range kinds {
			for i, proto := range transports {
				for _, keep := range []bool{true, false} {
					if keep && i != len(mapping)%3 {
						continue // one transport will do
					}
					t.Run(fmt.Sprintf("mapping by %s, filtering by %s, %s, ports kept %v", mapping, filtering, proto, keep), func(t *testing.T) {
						live(t, plan{proto: proto, nat: func(n *memnet.NAT) { n.Mapping, n.Filtering, n.PreservePort = m, f, keep }}, (*world).day)
					})
				}
			}
		}
	}
}

// The kernel's SIP ALG on the way, UDP and TCP 5060: the provider gets each
// message byte for byte as Pinhole sent it, and calls work as without.
func TestALG(t *testing.T) {
	for _, proto := range []string{peer.UDP, peer.TCP} {
		for _, keep := range []bool{true, false} {
			t.Run(fmt.Sprint(proto, " ports kept ", keep), func(t *testing.T) {
				live(t, plan{proto: proto, nat: func(n *memnet.NAT) { n.ALG, n.PreservePort = true, keep }}, func(w *world) {
					sent := map[string]bool{}
					w.lan.Tap(func(p memnet.Packet) {
						if p.Src.Addr().String() == lanProxy && p.Dst.Addr().String() == wanSIP {
							sent[string(p.Payload)] = true
						}
					})
					w.day()
					for _, m := range append(w.prov.Received(""), w.prov.Responses("")...) {
						if !sent[m.Raw] && m.Method() != "OPTIONS" { // the first of these went before we listened
							t.Errorf("the provider got what was not sent so:\n%s", m.Raw)
						}
					}
				})
			})
		}
	}
}

// N§2.5: an SDP that the ALG cannot read is dropped with every repeat. What the
// phone writes is put right first; what the provider writes comes as it comes.
func TestALGAndOddSDP(t *testing.T) {
	for _, proto := range []string{peer.UDP, peer.TCP} {
		for name, edit := range map[string]func(string) string{
			"host name":     func(s string) string { return replaceLine(s, "c=", "c=IN IP4 phone.example.com") },
			"host in o=":    func(s string) string { return replaceLine(s, "o=", "o=- 1 1 IN IP4 phone.local") },
			"port below":    func(s string) string { return s + "m=video 9 RTP/AVP 96\r\n" },
			"c= per stream": func(s string) string { c := line(s, "c="); return replaceLine(s, "c=", "b=AS:64") + c + "\r\n" },
		} {
			t.Run(proto+" "+name, func(t *testing.T) {
				live(t, plan{proto: proto, nat: func(n *memnet.NAT) { n.ALG = true }}, func(w *world) {
					alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.EditSDP = edit })
					w.registered(alice, "alice")
					near, far := w.answered(alice, "ring")
					w.heard(near, far)
					w.over(near, far)
					far, near = w.called(alice, "alice")
					w.heard(near, far)
					w.over(far, near)
					w.clean()
				})
			})
		}
	}
}

// line returns the line of an SDP that starts with prefix.
func line(sdp, prefix string) string {
	for _, l := range strings.Split(sdp, "\r\n") {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return ""
}

// A state file that cannot be written: the service warns and goes on.
func TestStateCannotBeWritten(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		state := filepath.Join(w.dir, "state")
		_ = os.Remove(state)
		w.must(os.MkdirAll(filepath.Join(state, "in the way"), 0o700))
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		w.registered(alice, "alice")
		far, near := w.called(alice, "alice")
		w.over(far, near)
		if !strings.Contains(w.log.String(), "level=WARN") && !strings.Contains(w.log.String(), "level=ERROR") {
			t.Error("nothing in the log")
		}
	})
}

// A provider that sends media only where the SDP says, to a phone that is silent
// at first: the port in the SDP is the one the NAT gave us, and we have opened it
// for the provider before the phone's answer leaves.
func TestProviderThatDoesNotLatch(t *testing.T) {
	for _, proto := range transports {
		for _, out := range []bool{false, true} {
			t.Run(fmt.Sprint(proto, map[bool]string{false: " in", true: " out"}[out]), func(t *testing.T) {
				live(t, plan{proto: proto, nat: strict, prov: func(c *peer.ProviderConfig) { c.NoLatch = true }}, func(w *world) {
					alice := w.phone(w.phoneA, "alice", peer.UDP)
					w.registered(alice, "alice")
					var near, far *peer.Call
					if out {
						near, far = w.answered(alice, "ring")
					} else {
						far, near = w.called(alice, "alice")
					}
					start := time.Now()
					far.Media().Talk(true)
					if at, err := near.Media().WaitHeard(w.within(time.Second), far.Media(), start); err != nil {
						t.Errorf("the silent phone hears nothing: %v", err)
					} else if wait := at.Sub(start); wait > 200*time.Millisecond {
						t.Errorf("it hears after %v", wait)
					}
					w.heard(near, far)
					w.over(near, far)
				})
			})
		}
	}
}
