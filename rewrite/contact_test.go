package rewrite

import (
	"net/netip"
	"testing"

	"pinhole/internal/message"
)

func TestAlias(t *testing.T) {
	a := Alias{User: "alice", Token: "k3abcdefghijklmn", Addr: netip.MustParseAddrPort("203.0.113.2:43503"), Transport: "tls"}
	for _, row := range []struct{ placement, want string }{
		{"param", "sip:alice@203.0.113.2:43503;transport=tls;b=k3abcdefghijklmn"},
		{"user", "sip:k3abcdefghijklmn@203.0.113.2:43503;transport=tls"},
		{"both", "sip:k3abcdefghijklmn@203.0.113.2:43503;transport=tls;b=k3abcdefghijklmn"},
	} {
		a.Placement = row.placement
		if got := a.String(); got != row.want {
			t.Errorf("%s: %s, want %s", row.placement, got, row.want)
		}
	}
	a = Alias{User: "bob", Token: "t", Host: "p.invalid", Transport: "udp", Push: ";pn-prid=x"}
	if got, want := a.String(), "sip:bob@p.invalid;b=t;pn-prid=x"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The phone sees its own bytes; what the registrar adds follows (promise 2).
func TestPhoneContact(t *testing.T) {
	for _, row := range []struct{ sent, granted, want string }{
		{`<sip:a@10.0.0.5:5060>`, `;expires=300`, `<sip:a@10.0.0.5:5060>;expires=60`},
		{
			`"A, \"the\" phone" <sip:a@10.0.0.5;x=1>;q=0.5;+sip.instance="<urn:uuid:1>";expires=3600;reg-id=1`,
			`;Expires=300;q=0.7;pub-gruu="sip:a@x;gr=1"`,
			`"A, \"the\" phone" <sip:a@10.0.0.5;x=1>;q=0.5;+sip.instance="<urn:uuid:1>";expires=60;reg-id=1;pub-gruu="sip:a@x;gr=1"`,
		},
		{`sip:a@10.0.0.5;unknownparam`, `;expires=300`, `sip:a@10.0.0.5;unknownparam;expires=60`},
		{"<sip:a@10.0.0.5>\r\n ;expires=600", ``, `<sip:a@10.0.0.5> ;expires=60`},
		{`<sip:a@10.0.0.5> ; expires = 600 ; q=1`, ``, `<sip:a@10.0.0.5> ; expires =60; q=1`},
	} {
		if got := PhoneContact(row.sent, row.granted, 60); got != row.want {
			t.Errorf("PhoneContact(%q)\n got %q\nwant %q", row.sent, got, row.want)
		}
	}
}

func TestRegisterContact(t *testing.T) {
	for _, row := range []struct{ sent, want string }{
		{`<sip:a@10.0.0.5>;reg-id=1;+sip.instance="<urn:uuid:1>"`, `<sip:ALIAS>;+sip.instance="<urn:uuid:1>"`},
		{`sip:a@10.0.0.5;unknownparam`, `<sip:ALIAS>;unknownparam`},
		{`"X" <sip:a@10.0.0.5;unknownparam>;expires=60`, `<sip:ALIAS>;expires=60`},
	} {
		na, err := message.ParseNameAddr(row.sent)
		if err != nil {
			t.Fatal(err)
		}
		if got := RegisterContact(na, "sip:ALIAS"); got != row.want {
			t.Errorf("%s: %s, want %s", row.sent, got, row.want)
		}
	}
}

func TestTargetURI(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"sip:a@10.0.0.5:5062;transport=tcp;method=INVITE;x", "sip:a@10.0.0.5:5062;transport=tcp;x"},
		{"sip:a@10.0.0.5?Route=%3Csip:evil%3E", "sip:a@10.0.0.5"},
	} {
		if got := TargetURI(row.in); got != row.want {
			t.Errorf("%s: %s, want %s", row.in, got, row.want)
		}
	}
}
