//go:build docker

package docker

import (
	"fmt"
	"strings"
	"time"
)

// control takes Pinhole away and has the phones talk to the provider by
// themselves, over the transport that Pinhole used. A desk phone that waits for
// sound must fail, for the cause that design §8 names.
func (w *World) control() string {
	w.t.Helper()
	w.must(compose(w.t.Context(), w.compose(), "rm", "-f", "-s", "-v", "phone-a", "desk"))
	w.must(compose(w.t.Context(), w.compose(), "stop", "pinhole"))
	_, err := w.in("router", "conntrack", "-F")
	w.must(err)
	user, victim, service := "carol", w.Carol, "desk"
	proxy, variable := providerWAN+":5060", "DESK"
	if w.Upstream == "tls" { // which Debian's sipp does not speak
		user, victim, service = "alice", w.Alice, "phone-a"
		proxy, variable = providerWAN+":5061", "PHONE_A"
	}
	environment := append(w.compose(), "PROXY="+proxy, variable+"="+w.Upstream)
	w.must(compose(w.t.Context(), environment, "up", "-d", "--no-deps", service))
	row := w.registersItself(user)
	switch mended := w.ALG && w.Upstream != "tls"; {
	case !mended && (!strings.HasPrefix(row.host(), lanNet) || row.Received != ""):
		w.t.Errorf("control: the provider has %s at %+v, want its private address", user, row)
	case mended && w.NAT == "double" && !strings.HasPrefix(row.host(), carrierNet):
		w.t.Errorf("control: the provider has %s at %+v, want the router's address behind the carrier", user, row)
	case mended && w.NAT != "double":
		return w.controlALG(victim, row)
	}
	call := w.Outside.call(victim)
	e := w.Outside.await(call.fromAt, time.Minute, "CALL_CLOSED", "CALL_ESTABLISHED")
	if !strings.HasPrefix(e.Param, "408") && !strings.HasPrefix(e.Param, "477") {
		w.t.Errorf("control: calling %s: %s %q, want 408 or 477", user, e.Type, e.Param)
	}
	return "call lost: " + e.Param
}

// registersItself waits until a user's row is that of its own REGISTER.
func (w *World) registersItself(user string) Contact {
	w.t.Helper()
	var row Contact
	w.eventually(user+" registers by itself", patience, func() error {
		all, err := w.Provider.Contacts(user)
		if err != nil {
			return err
		}
		for _, c := range all {
			if !strings.Contains(c.URI, ";b=") { // the mark of Pinhole's own rows
				row = c
				return nil
			}
		}
		return fmt.Errorf("it has %+v", all)
	})
	return row
}

// controlALG: the ALG has rewritten Contact to the public address, so the call
// arrives; but it lets in media only from the address of the signalling, and so
// the phone that waits for sound hears none. What it does to a call over TCP is
// recorded, not demanded: kernels differ.
func (w *World) controlALG(victim *Phone, row Contact) string {
	w.t.Helper()
	if row.host() != w.wan {
		w.t.Errorf("control: the ALG made the Contact %+v, want address %s", row, w.wan)
	}
	call := w.Outside.call(victim)
	e := w.Outside.await(call.fromAt, time.Minute, "CALL_ESTABLISHED", "CALL_CLOSED")
	if e.Type != "CALL_ESTABLISHED" {
		if w.Upstream == "udp" {
			w.t.Errorf("control: calling %s: %q, want it to be answered", victim.User, e.Param)
		}
		return "call lost behind the ALG: " + e.Param
	}
	heard := call.talked()[0]
	if heard.Heard > 0 || heard.Sent == 0 {
		w.t.Errorf("control: %v arrived, want none", heard)
	}
	call.hangUp(w.Outside)
	return "not heard: " + heard.String()
}
