package app_test

import (
	"strings"
	"testing"
	"time"

	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// restarted ends the program without a farewell and starts it again.
func (w *world) restarted() {
	w.t.Helper()
	w.kill()
	w.sleep(time.Second)
	w.start()
	w.sleep(2 * time.Second)
}

// R-16, H-11: after kill -9 and start a call to the old alias rings with no new
// REGISTER of the phone.
func TestRestart(t *testing.T) {
	for _, proto := range transports {
		for name, behind := range map[string]func(*memnet.NAT){
			"":                               func(*memnet.NAT) {},
			" behind a NAT that keeps ports": func(n *memnet.NAT) { n.PreservePort, n.Mapping = true, memnet.AddressAndPortDependent },
		} {
			t.Run(proto+name, func(t *testing.T) {
				live(t, plan{proto: proto, nat: behind}, func(w *world) {
					alice, bob := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "bob", peer.UDP)
					old := w.registered(alice, "alice").URI
					w.registered(bob, "bob")
					for range 3 {
						before := len(w.prov.Received("REGISTER"))
						w.restarted()
						outside, inside := w.called(alice, "alice")
						w.heard(outside, inside)
						w.over(inside, outside)
						outside, inside = w.called(bob, "bob")
						w.over(outside, inside)
						if n := len(w.prov.Received("REGISTER")) - before; n != 0 {
							t.Errorf("%d REGISTERs", n)
						}
					}
					if now := w.registered(alice, "alice").URI; now != old {
						t.Errorf("alias %s became %s", old, now)
					}
					if n := len(w.prov.Bindings("alice")); n != 1 {
						t.Errorf("%d bindings", n)
					}
					w.settled()
					w.clean()
				})
			})
		}
	}
}

// A phone on a connection comes back by itself and has its old alias, also where
// it has no instance id and lost its Call-ID.
func TestRestartWithPhoneOnTCP(t *testing.T) {
	for name, contacts := range map[string][]string{
		"instance":    {`<{uri}>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"`},
		"no instance": nil,
	} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TLS}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.TCP, func(c *peer.PhoneConfig) { c.Contacts = contacts })
				old := w.registered(alice, "alice").URI
				w.restarted()
				alice.Close()
				again := w.phone(w.phoneA, "alice", peer.TCP, func(c *peer.PhoneConfig) { c.Contacts = contacts })
				if now := w.registered(again, "alice").URI; now != old {
					t.Errorf("alias %s became %s", old, now)
				}
				if n := len(w.prov.Bindings("alice")); n != 1 {
					t.Errorf("%d bindings", n)
				}
				outside, inside := w.called(again, "alice")
				w.heard(outside, inside)
			})
		})
	}
}

// H-11: a call from before is hung up by either side, and a re-INVITE in it
// shows nothing of the LAN.
func TestRestartDuringACall(t *testing.T) {
	for _, proto := range transports {
		for _, byPhone := range []bool{true, false} {
			t.Run(proto+map[bool]string{true: " ended by the phone", false: " ended by the caller"}[byPhone], func(t *testing.T) {
				live(t, plan{proto: proto}, func(w *world) {
					alice := w.phone(w.phoneA, "alice", peer.UDP)
					w.registered(alice, "alice")
					far, near := w.called(alice, "alice")
					w.heard(far, near)
					w.restarted()
					if byPhone {
						w.must(near.Hold(w.within(5 * time.Second)))
						w.must(near.Resume(w.within(5 * time.Second)))
						w.heard(far, near)
						w.over(near, far)
					} else {
						w.must(far.Hold(w.within(5 * time.Second)))
						w.must(far.Resume(w.within(5 * time.Second)))
						w.heard(far, near)
						w.over(far, near)
					}
					w.sleep(40 * time.Second)
					w.settled()
					w.clean()
				})
			})
		}
	}
}

// An orderly stop and start is a restart too.
func TestStopAndStart(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		old := w.registered(alice, "alice").URI
		w.stop()
		w.sleep(time.Second)
		w.start()
		w.sleep(2 * time.Second)
		outside, inside := w.called(alice, "alice")
		w.heard(outside, inside)
		if !strings.Contains(inside.Invite().Raw, lanProxy) || outside.Invite().URI() != old {
			t.Errorf("called %s", outside.Invite().URI())
		}
	})
}

// A state file that is no such thing: the service starts empty and says so.
func TestBrokenStateFile(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		w.registered(alice, "alice")
		for _, content := range []string{"", "{", "\x00\x01\x02", `{"bindings":7}`, `[]`, `{"version":1,"sections":{"bindings":[{"ID":1}]}}`} {
			w.stop()
			w.write("state", content)
			w.start()
			w.sleep(2 * time.Second)
			w.registered(alice, "alice")
			outside, inside := w.called(alice, "alice")
			w.over(outside, inside)
		}
	})
}
