package message

import (
	"net/netip"
	"testing"
)

func TestParseURI(t *testing.T) {
	for s, want := range map[string]URI{
		"sip:example.com":              {Scheme: "sip", Host: "example.com"},
		"SIPS:alice@Example.COM:5061":  {Scheme: "SIPS", User: "alice", HasUser: true, Host: "Example.COM", Port: 5061},
		"sip:alice:pass@h;lr":          {Scheme: "sip", User: "alice:pass", HasUser: true, Host: "h", Params: ";lr"},
		"sip:h;lr=on;x?a=b&c=d":        {Scheme: "sip", Host: "h", Params: ";lr=on;x", Headers: "a=b&c=d"},
		"sip:h?a=b;c":                  {Scheme: "sip", Host: "h", Headers: "a=b;c"},
		"sip:user;par=u%40x@h":         {Scheme: "sip", User: "user;par=u%40x", HasUser: true, Host: "h"},
		"sip:[2001:db8::10]":           {Scheme: "sip", Host: "[2001:db8::10]"},
		"sip:[2001:db8::10:5070]":      {Scheme: "sip", Host: "[2001:db8::10:5070]"},
		"sip:a@[2001:DB8::10]:5070;x":  {Scheme: "sip", User: "a", HasUser: true, Host: "[2001:DB8::10]", Port: 5070, Params: ";x"},
		"sip:a@[2001:db8:::192.0.2.1]": {Scheme: "sip", User: "a", HasUser: true, Host: "[2001:db8:::192.0.2.1]"},
		"sip:a@10.0.0.1:65535":         {Scheme: "sip", User: "a", HasUser: true, Host: "10.0.0.1", Port: 65535},
		"sip:a@my_pbx:05060":           {Scheme: "sip", User: "a", HasUser: true, Host: "my_pbx", Port: 5060},
		"sip:%00@h":                    {Scheme: "sip", User: "%00", HasUser: true, Host: "h"},
		"sip:1?x/y@h":                  {Scheme: "sip", User: "1?x/y", HasUser: true, Host: "h"},
		"sip:müller@h":                 {Scheme: "sip", User: "müller", HasUser: true, Host: "h"},
		"tel:+4930123;phone-context=x": {Scheme: "tel"},
		"soap.beep://192.0.2.103:3002": {Scheme: "soap.beep"},
		"isbn:2983792873":              {Scheme: "isbn"},
		"urn:service:sos":              {Scheme: "urn"},
	} {
		u, err := ParseURI(s)
		if u.Host != "" && s[u.HostStart:u.HostEnd] != u.Host {
			t.Errorf("%q: host at [%d, %d)", s, u.HostStart, u.HostEnd)
		}
		u.HostStart, u.HostEnd = 0, 0
		if err != nil || u != want {
			t.Errorf("%q: %+v, %v, want %+v", s, u, err, want)
		}
	}
	for _, s := range []string{
		"", "sip", ":", "sip:", "1sip:x", "s p:x", "sip:@h", "sip:a@", "sip:a@b@c", "sip:2001:db8::10", "sip:[::1", "sip:[]",
		"sip:[:]", "sip:[::1]77@h", "sip:a[b@h", "sip:[::1]x", "sip:[::g]", "sip:h:", "sip:h:0", "sip:h:65536", "sip:h:5x", "sip:h:-1", "sip:a b@h", "sip:h;x y",
		"sip:h;<x>", "sip:h?", "sip:h;x?", "sip:h/x", "<sip:h>", "sip:h\x00", "sip:h;\x7f", "sip:a\"b@h", "tel:1 2", "sip:a@h;x\r\n y",
		" sip:h", "sip:h ", "*", "sip:h%41", "alice@h",
	} {
		if u, err := ParseURI(s); err == nil {
			t.Errorf("%q: %+v", s, u)
		}
	}
}

func TestHostAddr(t *testing.T) {
	for host, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "[2001:db8::1]": "2001:db8::1", "[::ffff:192.0.2.2]": "192.0.2.2",
		"[2001:db8:::192.0.2.1]": "2001:db8::c000:201", "example.com": "", "10.0.0.256": "", "[:::::]": "", "": "", "1": "",
	} {
		a, ok := URI{Host: host}.Addr()
		if ok != (want != "") || ok && a != netip.MustParseAddr(want) {
			t.Errorf("%q: %v, %v, want %s", host, a, ok, want)
		}
		if b, ok2 := (ViaValue{Host: host}).Addr(); b != a || ok2 != ok {
			t.Errorf("%q: Via and URI differ", host)
		}
	}
}
