package message

import "testing"

func TestParseVia(t *testing.T) {
	for s, want := range map[string]ViaValue{
		"SIP/2.0/UDP host":                                       {Transport: "UDP", Host: "host"},
		"SIP/2.0/UDP 10.0.0.1:5060;rport":                        {Transport: "UDP", Host: "10.0.0.1", Port: 5060, Params: ";rport"},
		"sip/2.0/tcp h;branch=z9hG4bK1":                          {Transport: "tcp", Host: "h", Params: ";branch=z9hG4bK1"},
		"SIP  /   2.0\r\n /UDP\r\n 192.0.2.2;b":                  {Transport: "UDP", Host: "192.0.2.2", Params: ";b"},
		"SIP / 2.0 / TCP     h   ;\r\n  x = y":                   {Transport: "TCP", Host: "h", Params: ";\r\n  x = y"},
		"SIP/2.0/TLS [2001:db8::9:1]:6050;x":                     {Transport: "TLS", Host: "[2001:db8::9:1]", Port: 6050, Params: ";x"},
		"SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255]": {Transport: "UDP", Host: "[2001:db8::9:1]", Params: ";received=[2001:db8::9:255]"},
		"SIP/2.0/UNKNOWN h : 5060 ; x ":                          {Transport: "UNKNOWN", Host: "h", Port: 5060, Params: "; x"},
		"SIP/2.0/UDP name.invalid;;":                             {Transport: "UDP", Host: "name.invalid", Params: ";;"},
		"SIP/2.0/TLS-SCTP a_b":                                   {Transport: "TLS-SCTP", Host: "a_b"},
	} {
		v, err := ParseVia(s)
		if err != nil || s[v.ParamsStart:v.ParamsStart+len(v.Params)] != v.Params {
			t.Errorf("%q: %+v, %v", s, v, err)
		}
		v.ParamsStart = 0
		if v != want {
			t.Errorf("%q: %+v, want %+v", s, v, want)
		}
	}
	for _, s := range []string{
		"", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/ h", "SIP/2.0", "SIP/3.0/UDP h", "HTTP/2.0/UDP h", "SIP/2.0/UDP;x", "SIP/2.0/UDP[::1]", "SIP/2.0/U@P h",
		"SIP/2.0/UDP h:", "SIP/2.0/UDP h:0", "SIP/2.0/UDP h:70000", "SIP/2.0/UDP h x", "SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP [::1",
		"SIP/2.0/UDP h;x=\"y", "SIP/2.0/UDP h,x", "SIP2.0/UDP h", "SIP/2.0UDP h", "SIP/2.0/UDP <h>",
	} {
		if v, err := ParseVia(s); err == nil {
			t.Errorf("%q: %+v", s, v)
		}
	}
}
