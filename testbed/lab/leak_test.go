//go:build lab

package lab

import (
	"encoding/hex"
	"testing"
)

// The scanner finds an address in each form that design §1 names, and none in
// what merely looks like one.
func TestScannerFindsEveryForm(t *testing.T) {
	s := newScanner(lanPrefix)
	for _, text := range []string{
		"Via: SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK1",
		"Call-ID: abc@192.168.1.2",
		"Contact: <sip:alice@192%2E168%2e1%2E10>",
		"Contact: <sip:alice@192%252E168%252E1%252E10>",
		"Via: SIP/2.0/TCP [::ffff:192.168.1.10];branch=z9hG4bK1",
		"Via: SIP/2.0/TCP [::ffff:c0a8:010a];branch=z9hG4bK1",
		"Via: SIP/2.0/TCP [::ffff:C0A8:10a];branch=z9hG4bK1",
		"Call-ID: 192-168-1-10-77",
		"Call-ID: c0a8010a",
		"c=IN IP4 192.168.1.10",
	} {
		if len(s.scan("here", []byte(text))) == 0 {
			t.Errorf("%q: found nothing", text)
		}
	}
	for _, text := range []string{
		"Via: SIP/2.0/UDP 203.0.113.2:5060", "Call-ID: 1192.168.1.10x", "192.168.10.1", "response=\"00c0a8010a00\"",
	} {
		if found := s.scan("here", []byte(text)); len(found) > 0 {
			t.Errorf("%q: found %v", text, found)
		}
	}
}

func TestScannerFindsSTUN(t *testing.T) {
	s := newScanner(lanPrefix)
	const head = "0101000c2112a442000000000000000000000000"
	for attribute, want := range map[string]int{
		"000100080001c350c0a8010a": 1, // MAPPED-ADDRESS 192.168.1.10
		"002000080001e242e1baa548": 1, // XOR-MAPPED-ADDRESS 192.168.1.10
		"000100080001c350cb007102": 0, // MAPPED-ADDRESS 203.0.113.2
	} {
		b, err := hex.DecodeString(head + attribute)
		if err != nil {
			t.Fatal(err)
		}
		if found := s.scan("here", b); len(found) != want {
			t.Errorf("%s: found %v, want %d", attribute, found, want)
		}
	}
}
