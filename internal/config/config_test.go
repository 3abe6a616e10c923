package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// parse reads a file that must be good.
func parse(t *testing.T, src string) *Config {
	t.Helper()
	c, err := Parse("pinhole.toml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryValue(t *testing.T) {
	c := parse(t, `
[listen.office]
address = "192.168.1.2:5062"
transports = ["tcp"]
allow = ["192.168.1.0/24", "10.1.2.3", "fd00::/64"]

[upstream.b]
domain = "PBX.example.com."
server = "[2001:DB8::1]:5070"
transport = "auto"
insecure = true
tls_name = "Edge.example.com"
tls_identity = "rfc5922"
via_host = "port"
token = "both"
source_port = 5066
[upstream.b.alias]
"+4930123456" = "alice"
100 = "bob"
[upstream.b.nat]
advertise = "198.51.100.7"
keepalive = "auto"
[upstream.b.register]
lan_expires = "1h"
rate = 100
[upstream.b.media]
ice = "strip"

[upstream.a]
domain = "192.0.2.10"

[nat]
stun = ["stun.example.com", "[2001:db8::2]:3479"]
advertise = "private"
keepalive = "off"
[media]
ports = "30000-30099"
ice = "pass"
[register]
lan_expires = "30s"
rate = 5
[state]
file = "/tmp/state"
[log]
level = "debug"
`)
	stun := []Host{{"stun.example.com", 3478}, {"2001:db8::2", 3479}}
	want := &Config{
		Listen: []Listen{{
			Name: "office", Address: netip.MustParseAddrPort("192.168.1.2:5062"), Transports: []Transport{TCP},
			Allow: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("fd00::/64")},
		}},
		Upstream: []Upstream{{
			Name: "b", Domain: "pbx.example.com", Server: Host{"2001:db8::1", 5070}, Transport: Auto, Insecure: true,
			TLSName: "edge.example.com", TLSIdentity: IdentityRFC5922, ViaHost: ViaPort, Token: TokenBoth, SourcePort: 5066,
			Alias:    map[string]string{"+4930123456": "alice", "100": "bob"},
			NAT:      NAT{STUN: stun, Advertise: Advertise{AdvertiseAddress, netip.MustParseAddr("198.51.100.7")}, KeepAlive: KeepAliveAuto},
			Register: Register{LANExpires: time.Hour, Rate: 100}, Media: UpstreamMedia{ICE: ICEStrip},
		}, {
			Name: "a", Domain: "192.0.2.10", Transport: TLS, TLSIdentity: IdentityWildcard, ViaHost: ViaAuto, Token: TokenParam,
			NAT:      NAT{STUN: stun, Advertise: Advertise{Mode: AdvertisePrivate}, KeepAlive: KeepAliveOff},
			Register: Register{LANExpires: 30 * time.Second, Rate: 5}, Media: UpstreamMedia{ICE: ICEPass},
		}},
		NAT:      NAT{STUN: stun, Advertise: Advertise{Mode: AdvertisePrivate}, KeepAlive: KeepAliveOff},
		Media:    Media{Ports: PortRange{30000, 30099}, ICE: ICEPass},
		Register: Register{LANExpires: 30 * time.Second, Rate: 5},
		State:    State{File: "/tmp/state"},
		Log:      Log{Level: slog.LevelDebug},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v, want\n%+v", c, want)
	}
}

// TestMistakes reads a file in which everything is wrong.
func TestMistakes(t *testing.T) {
	src, err := os.ReadFile("testdata/mistakes.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("mistakes.toml", src)
	golden(t, "testdata/mistakes.txt", err)
	lines := strings.Split(string(src), "\n")
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("the error is a %T", err)
	}
	for _, m := range all.Mistakes {
		last := m.Key[strings.LastIndexByte(m.Key, '.')+1:]
		line := lines[m.Line-1]
		if strings.Contains(m.Text, "missing") {
			line += last // stands nowhere
		}
		element := m.Key == "listen.lan.allow" // an element stands below its key
		if !strings.Contains(line, strings.Trim(last, `"`)) && !element {
			t.Errorf("%v\npoints to %q", m, line)
		}
	}
}

// golden compares err with a file.
func golden(t *testing.T, path string, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no mistake was found")
	}
	got := err.Error() + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for _, line := range gotLines {
		if !slices.Contains(wantLines, line) {
			t.Errorf("unexpected: %s", line)
		}
	}
	for _, line := range wantLines {
		if !slices.Contains(gotLines, line) {
			t.Errorf("missing: %s", line)
		}
	}
	if got != string(want) {
		t.Error("-update writes " + path + " anew")
	}
}

const upstream = "[upstream.main]\ndomain = \"sip.example.com\"\n"

func TestMistakesOneByOne(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"empty file", "", `f:1: upstream: is missing, needed is a table [upstream.main] with domain = "…"`},
		{"upstream without name", "[upstream]\ndomain = \"a.example\"", `f:2: upstream.domain: is "a.example", allowed are tables with names of their own, as [upstream.main]`},
		{"array of tables", "\n[[upstream]]\ndomain = \"a.example\"", `f:2: upstream: is an array of tables, allowed are tables with names of their own, as [upstream.main]`},
		{"missing domain", "[upstream.main]\ntransport = \"tcp\"", `f:1: upstream.main.domain: is missing, needed is the registrar as the phones know it, a host name or an IP address`},
		{"domain out of its quotes", "[upstream.main]\ndomain = sip.example.com\nmode = \"edge\"", `f:2: upstream.main.domain: is sip.example.com, allowed is text in quotes, a whole number, true or false
f:3: upstream.main.mode: is unknown, allowed is one of domain, server, transport, ca, insecure, tls_name, tls_identity, via_host, token, source_port, alias, nat, register, media`},
		{"twice", upstream + "domain = \"b.example\"\ntoken = 1", `f:3: upstream.main.domain: cannot be read: Key 'upstream.main.domain' has already been defined.
f:4: upstream.main.token: is 1, allowed is a string: one of param, user, both`},
		{"header not closed", upstream + "[nat\nstun = 1\n", `f:3: syntax: cannot be read: expected '.' or ']' to end table name, but got '\n' instead`},
		{"array not closed", upstream + "[nat]\nstun = [\"a.example\"\nadvertise = \"auto\"\n", `f:5: syntax: cannot be read: expected a comma (',') or array terminator (']'), but got 'a'`},
		{"text not closed", upstream + "tls_name = \"x\ntoken = 1\n", `f:3: upstream.main.tls_name: cannot be read: strings cannot contain newlines
f:4: upstream.main.token: is 1, allowed is a string: one of param, user, both`},
		{"table is a value", upstream + "nat = 3\nmedia = []\nalias = \"x\"", `f:3: upstream.main.nat: is 3, allowed is a table [upstream.main.nat]
f:4: upstream.main.media: is an array, allowed is a table [upstream.main.media]
f:5: upstream.main.alias: is "x", allowed is a table [upstream.main.alias]`},
		{"inline table", "upstream.main = { domain = \"a.example\", token = \"x\" }", `f:1: upstream.main.token: is "x", allowed is one of param, user, both`},
		{"old name of a key", upstream + "[register]\nlan-expires = \"60s\"", `f:4: register.lan-expires: is unknown, did you mean lan_expires?`},
		{"not binary", "\x00\x01", `f:1: syntax: cannot be read: files cannot contain NULL bytes; probably using UTF-16; TOML files must be UTF-8`},
		{"media on the port of a listener", "[listen.a]\naddress = \"192.0.2.1:20000\"\n" + upstream, `f:2: listen.a.address: is 192.0.2.1:20000, allowed is a port outside media.ports, 20000-29999`},
		{"media on the port of a flow", upstream + "source_port = 29999", `f:3: upstream.main.source_port: is 29999, allowed is a port outside media.ports, 20000-29999`},
		{"same address for all", "[listen.a]\naddress = \"192.0.2.1:5060\"\n[listen.b]\naddress = \"0.0.0.0:5060\"\nallow = [\"192.0.2.0/24\"]\n" + upstream, `f:4: listen.b.address: is 0.0.0.0:5060, which listen.a has already (192.0.2.1:5060), allowed is an address and port of its own`},
		{"port of nobody", "[listen.a]\naddress = \"192.0.2.1:0\"\n" + upstream, `f:2: listen.a.address: is "192.0.2.1:0" (phones cannot guess a port), allowed is an IP address of ours with a port, as "192.168.1.2:5060"`},
		{"files missing", "[listen.a]\naddress = \"192.0.2.1:5061\"\ntransports = [\"tls\"]\ncert = \"/no/a\"\nkey = \"/no/b\"\n" + upstream, `f:4: listen.a.cert: is "/no/a" (no such file or directory), allowed is the path of a PEM file
f:5: listen.a.key: is "/no/b" (no such file or directory), allowed is the path of a PEM file`},
		{"ports too few", upstream + "[media]\nports = \"20000-20097\"", `f:4: media.ports: is "20000-20097" (too small: a call takes four ports, and the range needs at least 100), allowed is a range as "20000-29999"`},
		{"ports odd end", upstream + "[media]\nports = \"20000-30000\"", `f:4: media.ports: is "20000-30000" (the first port must be even and the last odd: RTP and RTCP go in pairs), allowed is a range as "20000-29999"`},
		{"ports over the end", upstream + "[media]\nports = \"20000-65537\"", `f:4: media.ports: is "20000-65537", allowed is a range as "20000-29999"`},
		{"ports low", upstream + "[media]\nports = \"1022-2021\"", `f:4: media.ports: is "1022-2021" (ports below 1024 are for the system, and an ALG drops media on them), allowed is a range as "20000-29999"`},
		{"lease long", upstream + "[register]\nlan_expires = \"24h1s\"", `f:4: register.lan_expires: is "24h1s", allowed is a duration from "10s" to "24h"`},
		{"lease odd", upstream + "[register]\nlan_expires = \"30.5s\"", `f:4: register.lan_expires: is "30.5s" (not in whole seconds), allowed is a duration from "10s" to "24h"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f", []byte(c.src))
			if err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pinhole.toml")
	if err := os.WriteFile(path, []byte(upstream+"[state]\nfile = \"state\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "state"); c.State.File != want {
		t.Errorf("state.file is %q, want %q", c.State.File, want)
	}
	if _, err = Load(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives: %v", err)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"address", "transports", "allow", "cert", "key"}
	for word, want := range map[string]string{
		"adress": "address", "Address": "address", "transport": "transports", "trnasports": "transports",
		"alow": "allow", "kye": "key", "crt": "cert", "port": "", "secret": "", "k": "", "": "",
	} {
		if got := suggest(word, known); got != want {
			t.Errorf("suggest(%q) is %q, want %q", word, got, want)
		}
	}
}

// TestListenersBesideOneAnother is the other side of clash.
func TestListenersBesideOneAnother(t *testing.T) {
	parse(t, `
[listen.udp]
address = "192.0.2.1:5060"
transports = ["udp"]
[listen.tcp]
address = "192.0.2.1:5060"
transports = ["tcp"]
[listen.two]
address = "192.0.2.2:5060"
[listen.six]
address = "[2001:db8::1]:5060"
`+upstream)
}

func TestTLSListener(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir)
	c := parse(t, "[listen.tls]\naddress = \"192.0.2.1:5061\"\ntransports = [\"tls\"]\ncert = \""+cert+"\"\nkey = \""+key+"\"\n"+upstream+"ca = \""+cert+"\"\n")
	if l := c.Listen[0]; l.Cert != cert || l.Key != key || c.Upstream[0].CA != cert {
		t.Errorf("got %+v", c)
	}
	_, err := Parse("f", []byte(upstream+"ca = \""+key+"\"\n"))
	want := "f:3: upstream.main.ca: is \"" + key + "\" (no certificate in it), allowed is the path of a PEM file with certificates"
	if err == nil || err.Error() != want {
		t.Errorf("a key for a CA gives %v, want %s", err, want)
	}
}

// writeCertificate makes a certificate that signs itself.
func writeCertificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER)
}
