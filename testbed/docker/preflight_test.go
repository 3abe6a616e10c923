//go:build docker

package docker

import (
	"fmt"
	"strings"

	"pinhole/testbed/need"
)

// probe is a REGISTER that every SIP ALG rewrites.
const probe = `REGISTER sip:sip.example.com SIP/2.0\r
Via: SIP/2.0/UDP 192.168.77.10:5099;branch=z9hG4bK-%[1]s\r
Max-Forwards: 70\r
From: <sip:preflight@sip.example.com>;tag=1\r
To: <sip:preflight@sip.example.com>\r
Call-ID: %[1]s\r
CSeq: 1 REGISTER\r
Contact: <sip:preflight@192.168.77.10:5099>\r
Content-Length: 0\r
\r
`

// preflight makes sure that the router's ALG rewrites: where the kernel has the
// part that does so as a module, nothing in a container loads it.
func (w *World) preflight() {
	w.t.Helper()
	if w.rewrites("preflight-1") {
		return
	}
	_, err := docker(w.t.Context(), "run", "--rm", "--privileged", "--network", "none", "-v", "/lib/modules:/lib/modules:ro", "pinhole-peers", "modprobe", "nf_nat_sip")
	need.That(w.t, err == nil && w.rewrites("preflight-2"), fmt.Sprintf("not run: no nf_nat_sip: %v", err))
}

// rewrites sends the probe through the router to the spare provider, which has
// nothing else to do, and says whether it came with another Contact.
func (w *World) rewrites(id string) bool {
	w.t.Helper()
	text := strings.ReplaceAll(fmt.Sprintf(probe, id), "\n", `\n`)
	_, err := w.in("phone-a", "bash", "-c", `printf "$0" >/dev/udp/`+spareWAN+`/5060`, text)
	w.must(err)
	changed := false
	w.eventually("the probe of the ALG arrives", patience, func() error {
		all, err := w.Spare.Received()
		for _, m := range all {
			if strings.Contains(m.Raw, id) {
				changed = !strings.Contains(m.Raw, lanNet)
				return err
			}
		}
		return fmt.Errorf("not yet: %v", err)
	})
	return changed
}
