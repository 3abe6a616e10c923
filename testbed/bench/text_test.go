//go:build linux

package main

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

const sample = "INVITE sip:u1@10.1.0.2:5060 SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP a.invalid;rport;branch=z1\r\nVia: SIP/2.0/UDP b;branch=z2\r\n" +
	"Record-Route: <sip:one;lr>, <sip:two;lr>\r\nRecord-Route: <sip:three;lr>\r\n" +
	"From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\nContact: <sip:u1@10.1.0.2:5060;transport=tcp>;q=1\r\n" +
	"Content-Length: 5\r\n\r\nv=0\r\n"

func TestText(t *testing.T) {
	for name, c := range map[string]struct{ got, want string }{
		"field":  {field(sample, "Call-ID"), "c"},
		"none":   {field(sample, "Route"), ""},
		"last":   {strings.Join(fields(sample, "Via"), "|"), "SIP/2.0/UDP a.invalid;rport;branch=z1|SIP/2.0/UDP b;branch=z2"},
		"uri":    {uriOf(field(sample, "Contact")), "sip:u1@10.1.0.2:5060;transport=tcp"},
		"host":   {hostOf(uriOf(field(sample, "Contact"))), "10.1.0.2:5060"},
		"user":   {userOf(uriOf(field(sample, "Contact"))), "u1"},
		"routes": {routes(sample), "Route: <sip:three;lr>\r\nRoute: <sip:two;lr>\r\nRoute: <sip:one;lr>\r\n"},
		"respond": {respond(sample, "180 Ringing", "t", "1.2.3.4:5", "X: y\r\n", ""), "SIP/2.0 180 Ringing\r\n" +
			"Via: SIP/2.0/UDP a.invalid;rport=5;received=1.2.3.4;branch=z1\r\nVia: SIP/2.0/UDP b;branch=z2\r\n" +
			"Record-Route: <sip:one;lr>, <sip:two;lr>\r\nRecord-Route: <sip:three;lr>\r\n" +
			"From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=t\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\nX: y\r\nContent-Length: 0\r\n\r\n"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
	if n, method := cseqOf(sample); n != 7 || method != "INVITE" || statusOf(sample) != 0 || statusOf("SIP/2.0 407 x\r\n") != 407 {
		t.Errorf("CSeq %d %q, status %d", n, method, statusOf(sample))
	}
}

func TestReadMessage(t *testing.T) {
	r := bufio.NewReader(strings.NewReader(sample + "\r\n\r\n" + sample))
	for i, want := range []string{sample, "", sample} {
		if got, err := readMessage(r); got != want || err != nil {
			t.Errorf("message %d: %q, %v", i, got, err)
		}
	}
	if _, err := readMessage(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
