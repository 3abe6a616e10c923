package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func prefixes(list string) []netip.Prefix {
	var all []netip.Prefix
	for s := range strings.FieldsSeq(list) {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestForUpstream(t *testing.T) {
	c, err := ForUpstream("SIP.example.com")
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, "[upstream.main]\ndomain = \"sip.example.com\"\ntransport = \"auto\"\n")
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v, want the same as from a file\n%+v", c, want)
	}
	for _, bad := range []string{"", "sip:sip.example.com", "a b", "sip.example.com:5060"} {
		if c, err := ForUpstream(bad); err == nil {
			t.Errorf("%q gives %+v", bad, c)
		}
	}
}

func TestListenersOfAHost(t *testing.T) {
	for _, c := range []struct {
		name, interfaces, source string
		listen, allow            string // empty: an error
	}{
		{
			"LAN host behind a router", "127.0.0.1/8 ::1/128 192.168.1.2/24 fe80::1/64", "192.168.1.2",
			"192.168.1.2:5060", "192.168.1.0/24",
		},
		{
			"router with a public address", "127.0.0.1/8 203.0.113.2/29 192.168.1.1/24 10.0.0.1/16", "203.0.113.2",
			"10.0.0.1:5060 192.168.1.1:5060", "10.0.0.0/16 192.168.1.0/24",
		},
		{
			"router behind another", "192.168.178.20/24 192.168.1.1/24", "192.168.178.20",
			"192.168.1.1:5060", "192.168.1.0/24",
		},
		{
			"router behind another, with two addresses there", "192.168.178.20/24 192.168.178.21/24 192.168.1.1/24", "192.168.178.20",
			"192.168.1.1:5060", "192.168.1.0/24",
		},
		{
			"carrier-grade NAT", "100.64.3.4/10 192.168.1.1/24", "100.64.3.4",
			"192.168.1.1:5060", "192.168.1.0/24",
		},
		{
			"two addresses in one network", "192.168.1.3/24 192.168.1.2/24", "192.168.1.2",
			"192.168.1.2:5060 192.168.1.3:5060", "192.168.1.0/24",
		},
		{
			"LAN host with Docker and libvirt", "172.17.0.1/16 172.20.0.1/16 192.168.122.1/24 192.168.1.2/24", "192.168.1.2",
			"192.168.1.2:5060", "192.168.1.0/24",
		},
		{
			"a LAN that only looks like Docker's", "172.17.0.2/16", "172.17.0.2",
			"172.17.0.2:5060", "172.17.0.0/16",
		},
		{
			"the way upstream is not known", "192.168.1.2/24 10.0.0.1/16", "",
			"10.0.0.1:5060 192.168.1.2:5060", "10.0.0.0/16 192.168.1.0/24",
		},
		{
			"upstream over IPv6", "192.168.1.2/24 2001:db8::2/64 fd00::2/64", "2001:db8::2",
			"192.168.1.2:5060", "192.168.1.0/24",
		},
		{
			"IPv6 alone", "2001:db8::2/64 fd00::2/64 fe80::1/64", "2001:db8::2",
			"[fd00::2]:5060", "fd00::/64",
		},
		{"a server in a data centre", "127.0.0.1/8 203.0.113.2/24", "203.0.113.2", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			source, _ := netip.ParseAddr(c.source)
			done, err := Default().Complete(prefixes(c.interfaces), source)
			if c.listen == "" {
				if err == nil {
					t.Errorf("no error, but %+v", done.Listen)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var want []Listen
			for i, address := range strings.Fields(c.listen) {
				want = append(want, Listen{
					Name: []string{"lan", "lan2"}[i], Address: netip.MustParseAddrPort(address),
					Transports: []Transport{UDP, TCP}, Allow: prefixes(c.allow),
				})
			}
			if !reflect.DeepEqual(done.Listen, want) {
				t.Errorf("got\n%+v, want\n%+v", done.Listen, want)
			}
		})
	}
}

func TestCompleteFillsAllow(t *testing.T) {
	c := parse(t, upstream+`
[listen.a]
address = "192.168.1.2:5060"
[listen.b]
address = "192.168.2.2:5060"
allow = ["10.0.0.0/8"]
`)
	done, err := c.Complete(prefixes("192.168.1.2/24 192.168.2.2/24"), netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if got := done.Listen[0].Allow; !reflect.DeepEqual(got, prefixes("192.168.1.0/24")) {
		t.Errorf("listen.a allows %v", got)
	}
	if got := done.Listen[1].Allow; !reflect.DeepEqual(got, prefixes("10.0.0.0/8")) {
		t.Errorf("listen.b allows %v", got)
	}
	if c.Listen[0].Allow != nil {
		t.Errorf("the snapshot was changed: %+v", c.Listen[0])
	}
	_, err = c.Complete(prefixes("192.168.9.2/24"), netip.Addr{})
	want := "listen.a.address: is 192.168.1.2:5060, allowed is an address of this host, or set allow"
	if err == nil || err.Error() != want {
		t.Errorf("without the interface: %v, want %s", err, want)
	}
}

func TestCompleteListensEverywhere(t *testing.T) {
	interfaces := prefixes("127.0.0.1/8 192.168.1.1/24 203.0.113.2/24 fe80::1/64 fd00::1/64 192.168.1.1/32")
	for address, want := range map[string]string{
		"0.0.0.0:5060":     "lan/127.0.0.1 127.0.0.1:5060, lan/192.168.1.1 192.168.1.1:5060, lan/203.0.113.2 203.0.113.2:5060, ",
		"[::]:5060":        "lan/127.0.0.1 127.0.0.1:5060, lan/192.168.1.1 192.168.1.1:5060, lan/203.0.113.2 203.0.113.2:5060, lan/fd00::1 [fd00::1]:5060, ",
		"192.168.1.1:5060": "lan 192.168.1.1:5060, ",
	} {
		c := parse(t, upstream+"[listen.lan]\naddress = \""+address+"\"\nallow = [\"192.168.1.0/24\"]\n")
		done, err := c.Complete(interfaces, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, l := range done.Listen {
			got += l.Name + " " + l.Address.String() + ", "
			if !reflect.DeepEqual(l.Allow, prefixes("192.168.1.0/24")) {
				t.Errorf("%s allows %v", l.Name, l.Allow)
			}
		}
		if got != want {
			t.Errorf("%s listens at\n%s, want\n%s", address, got, want)
		}
	}
	c := parse(t, upstream+"[listen.lan]\naddress = \"0.0.0.0:5060\"\nallow = [\"192.168.1.0/24\"]\n")
	_, err := c.Complete(prefixes("fe80::1/64"), netip.Addr{})
	if want := "listen.lan.address: is 0.0.0.0:5060, and this host has no address"; err == nil || err.Error() != want {
		t.Errorf("without addresses: %v, want %s", err, want)
	}
}
