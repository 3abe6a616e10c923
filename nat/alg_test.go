package nat

import (
	"net/netip"
	"testing"
)

func TestALGInVia(t *testing.T) {
	const sent = "SIP/2.0/UDP main.invalid;branch=z9hG4bKfae1;rport"
	for returned, want := range map[string]ALG{
		sent: 0,
		"SIP/2.0/UDP main.invalid;branch=z9hG4bKfae1;received=203.0.113.2;rport=40000":    0,
		"SIP / 2.0 / UDP MAIN.invalid:5060 ;rport=40000;branch=z9hG4bKfae1":               0,
		"SIP/2.0/UDP main.invalid;branch=z9hG4bKfae1;received=192.168.1.2;rport=5060":     0, // no bytes of ours
		"SIP/2.0/UDP 192.168.1.2:5060;branch=z9hG4bKfae1;received=192.168.1.2;rport=5060": ALGSentBy,
		"SIP/2.0/UDP main.invalid:40000;branch=z9hG4bKfae1;rport=40000":                   ALGSentBy,
		"SIP/2.0/UDP main.invalid;branch=z9hG4bKfae1-192.168.1.2;rport=5060":              ALGBranch,
		"SIP/2.0/UDP 203.0.113.2:5060;received=203.0.113.2;rport=5060":                    ALGSentBy | ALGBranch,
		"garbage": 0,
	} {
		if got := ALGInVia(sent, returned); got != want {
			t.Errorf("%s: proof %b, want %b", returned, got, want)
		}
	}
	if got := ALGInVia("SIP/2.0/TLS a.example;branch=z9hG4bK1", "SIP/2.0/TLS a.example:5061;branch=z9hG4bK1"); got != 0 {
		t.Errorf("the default port of tls written out: proof %b", got)
	}
}

func TestALGInContact(t *testing.T) {
	local := netip.MustParseAddrPort("192.168.1.2:5060")
	const sent = "sip:alice@203.0.113.2:40000;transport=udp;b=abc"
	for returned, want := range map[string]ALG{
		sent:                                      0,
		"sip:ALICE@203.0.113.2:40000;b=abc":       0,
		"sip:alice@192.168.1.2:5060;b=abc":        ALGContact,
		"sip:alice@192.168.1.2;b=abc":             ALGContact,
		"sip:alice@192.168.1.2;transport=tls":     0,
		"sip:alice@192.168.1.2:5062;b=abc":        0,
		"sip:alice@main.invalid;b=abc":            0,
		"tel:+49301234":                           0,
		"sip:alice@[::ffff:192.168.1.2]:5060;b=a": ALGContact,
	} {
		if got := ALGInContact(sent, returned, local); got != want {
			t.Errorf("%s: proof %b, want %b", returned, got, want)
		}
	}
	if got := ALGInContact("sip:a@192.168.1.2:5060", "sip:a@192.168.1.2:5060", local); got != 0 {
		t.Error("what was sent so proves nothing")
	}
}

func TestProve(t *testing.T) {
	var m Mapping
	if n := m.Prove(0); n != 0 {
		t.Errorf("no proof gives the note %q", n)
	}
	if n := m.Prove(ALGContact); n != RouterEdits {
		t.Errorf("the first proof gives the note %q", n)
	}
	if n := m.Prove(ALGSentBy); n != 0 || m.ALG() != ALGContact|ALGSentBy {
		t.Errorf("the second proof gives the note %q and %b in all", n, m.ALG())
	}
}

func TestNotesHaveWords(t *testing.T) {
	for n := NoReceived; n <= RouterEdits; n++ {
		if len(n.String()) < 20 {
			t.Errorf("note %d: %q", n, n)
		}
	}
}
