//go:build docker

package docker

import (
	"strings"
	"testing"
)

// settings are all cells: each upstream transport behind each router.
func settings() (all []Settings) {
	for _, upstream := range []string{"udp", "tcp", "tls"} {
		for _, nat := range []string{"independent", "symmetric", "double"} {
			for _, alg := range []bool{false, true} {
				all = append(all, Settings{Upstream: upstream, NAT: nat, ALG: alg})
			}
		}
	}
	return all
}

// The main job behind each router, and then the control: the same phones behind
// the same router without Pinhole.
func TestMainJob(t *testing.T) {
	for _, s := range settings() {
		t.Run(s.String(), func(t *testing.T) {
			w := start(t, s)
			row := append(append([]any{s}, w.mainJob()...), w.control())
			mainJobs.add(row...)
			t.Log(row...)
		})
	}
}

// mainJob: the phones are registered at an address that reaches them; each is
// called or calls, and is heard both ways; nothing of the LAN is seen outside.
func (w *World) mainJob() []any {
	w.t.Helper()
	w.assertRegistered()
	w.assertALG()

	var heard []any
	in := w.Outside.call(w.Alice)
	in.answered()
	heard = append(heard, in.assertHeard())
	in.hangUp(w.Outside)

	out := w.Alice.call(w.Outside) // through a 407
	out.answered()
	heard = append(heard, out.assertHeard())
	out.hangUp(w.Outside)

	desk := w.Outside.call(w.Carol)
	desk.answered()
	w.assertUntouched()
	inside := w.Alice.call(w.Amy)
	inside.answered()
	heard = append(heard, desk.assertHeard(), inside.assertHeard())
	desk.hangUp(w.Outside)
	inside.hangUp(w.Amy)

	w.assertNoLeaks("REGISTER", "OPTIONS", "INVITE", "ACK", "BYE")
	return heard
}

// assertRegistered demands that the provider's rows name the public address,
// and that the provider has mended none.
func (w *World) assertRegistered() {
	w.t.Helper()
	for user, row := range w.Provider.registered("alice", "amy", "carol", "bob") {
		want := w.wan
		if user == "bob" {
			want = w.Outside.IP
		}
		if row.host() != want || row.Received != "" {
			w.t.Errorf("the provider has %s at %+v, want address %s", user, row, want)
		}
	}
}

// assertALG demands that the router's ALG looks at what it can read.
func (w *World) assertALG() {
	w.t.Helper()
	table, err := w.in("router", "conntrack", "-L")
	w.must(err)
	helped := false
	for line := range strings.Lines(table) {
		helped = helped || strings.Contains(line, "dst="+providerWAN+" ") && strings.Contains(line, "helper=sip")
	}
	if want := w.ALG && w.Upstream != "tls"; helped != want {
		w.t.Errorf("the ALG is attached: %t, want %t:\n%s", helped, want, table)
	}
}
