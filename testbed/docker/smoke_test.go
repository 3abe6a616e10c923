//go:build docker

package docker

import "testing"

// The testbed in a minute: a call behind the ALG, one fault, and the control.
func TestSmoke(t *testing.T) {
	w := start(t, Settings{Upstream: "udp", NAT: "independent", ALG: true})
	w.assertRegistered()
	w.assertALG()
	call := w.Outside.call(w.Carol)
	call.answered()
	t.Log("heard:", call.assertHeard())
	call.hangUp(w.Outside)
	w.assertUntouched()
	w.assertNoLeaks("REGISTER", "OPTIONS")
	for _, f := range faults {
		if f.smoke {
			w.suffer(f)
		}
	}
	t.Log("without Pinhole:", w.control())
}
