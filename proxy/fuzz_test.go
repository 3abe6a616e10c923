package proxy

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pinhole/internal/message"
)

// FuzzCore lets phones and the provider say anything to a core that has a
// registered phone: it must not panic.
func FuzzCore(f *testing.F) {
	for _, dir := range []string{"rfc4475", "rfc5118"} {
		files, err := filepath.Glob("../internal/message/testdata/" + dir + "/*.dat")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(raw), true)
		}
	}
	f.Add(register(7, "Path: <sip:192.168.1.10;lr>\r\nSupported: outbound, 192.168.1.10\r\nRequire: outbound 192.168.1.10\r\n"), true)
	f.Add(register(7, "Route: <sip:192.168.1.2:5060;lr>, <sip:192.168.1.10>\r\nMax-Forwards: 192.168.1.10\r\n"), true)
	f.Add("INVITE sip:alice@203.0.113.2:40001;b=aaaaaaaaaaaaaaaa SIP/2.0\r\nVia: SIP/2.0/TCP p;branch=z9hG4bK1\r\n"+
		"From: <sip:x@example.com>;tag=1\r\nTo: <sip:alice@sip.example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"+
		"Contact: <sip:x@198.51.100.10>\r\nContent-Length: 0\r\n\r\n", false)
	f.Fuzz(func(_ *testing.T, raw string, phone bool) {
		r := newRig()
		first := r.sent()
		r.in(2, netip.AddrPort{}, answer(first, "200 OK"))
		up := r.in(1, r.phone, register(1, ""))
		m, _ := message.Parse(up, message.Stream)
		r.in(2, netip.AddrPort{}, answer(up, "200 OK", "Contact: "+m.Get(message.Contact)))
		path, from := PathID(1), r.phone
		if !phone {
			path, from = 2, netip.MustParseAddrPort("198.51.100.10:5060")
		}
		r.say(path, from, raw)
		for range 4 {
			r.now = r.now.Add(40 * time.Second)
			r.core.Fire(r.now)
			r.outputs("")
		}
	})
}

// say lets one side say something and the other answer what it was sent, kindly
// and unkindly.
func (r *rig) say(path PathID, from netip.AddrPort, raw string) {
	framing := message.Datagram
	if path == 2 {
		framing = message.Stream
	}
	m, err := message.Parse(raw, framing)
	r.core.Message(r.now, path, from, m, err)
	for _, status := range []string{"180 Ringing", "407 Proxy Authentication Required", "200 OK"} {
		r.outputs(status)
	}
}

// outputs does what the core asks for and answers every request it sends.
func (r *rig) outputs(status string) {
	out := append([]Output(nil), r.core.Outputs()...)
	for _, o := range out {
		switch o.Kind {
		case MediaOpen:
			o.Media.Done(r.now, nil, errors.New("no media here"))
		case Save:
			if o.Serial != 0 {
				r.core.Saved(r.now, o.Serial)
			}
		case Send:
			if status == "" || strings.HasPrefix(string(o.Data), "SIP/") {
				continue
			}
			m, err := message.Parse(string(o.Data), message.Stream)
			if err != nil {
				continue
			}
			reply := answer(m.Raw, status, "Contact: <sip:alice@192.168.1.10:5060>", "Record-Route: <sip:main@192.168.1.2:5060;lr>")
			a, err := message.Parse(reply, message.Stream)
			r.core.Message(r.now, o.Path, o.To, a, err)
		}
	}
}
