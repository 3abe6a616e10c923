package app_test

import (
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

var transports = []string{peer.UDP, peer.TCP, peer.TLS}

// A phone registers through a 401; the provider holds an alias at the mapped
// tuple and the phone its own Contact.
func TestRegister(t *testing.T) {
	for _, proto := range transports {
		for _, lan := range []string{peer.UDP, peer.TCP} {
			t.Run(proto+" from "+lan, func(t *testing.T) {
				live(t, plan{proto: proto}, func(w *world) {
					alice := w.phone(w.phoneA, "alice", lan)
					r, err := alice.Register(w.ctx)
					w.must(err)
					if r.Tries != 2 {
						t.Errorf("%d REGISTERs, want one challenge", r.Tries)
					}
					b := w.registered(alice, "alice")
					if !strings.Contains(b.URI, b.Flow.Remote().String()) || !strings.Contains(b.URI, ";b=") {
						t.Errorf("alias %s, but the flow comes from %s", b.URI, b.Flow.Remote())
					}
					if r.Expires != 180*time.Second {
						t.Errorf("lease %v", r.Expires)
					}
					w.clean()
				})
			})
		}
	}
}

// An inbound call finds the phone, both hear each other, either side hangs up.
func TestInboundCall(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				for _, byPhone := range []bool{true, false} {
					outside, inside := w.called(alice, "alice")
					w.heard(outside, inside)
					if byPhone {
						w.must(inside.Hangup(w.ctx))
						w.must(outside.Ended(w.within(5 * time.Second)))
					} else {
						w.must(outside.Hangup(w.ctx))
						w.must(inside.Ended(w.within(5 * time.Second)))
					}
				}
				w.clean()
			})
		})
	}
}

// An outbound call passes a 407 and has audio.
func TestOutboundCall(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				call, err := alice.Call(w.ctx, "echo")
				w.must(err)
				w.must(call.Answered(w.within(10 * time.Second)))
				w.heard(call, nil)
				w.must(call.Hangup(w.ctx))
				w.clean()
			})
		})
	}
}
