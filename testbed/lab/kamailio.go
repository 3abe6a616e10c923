//go:build lab

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pinhole/testbed/need"
)

// passwords are those of the users that testbed/peers/kamailio.cfg knows.
var passwords = map[string]string{
	"alice": "alice-secret", "amy": "amy-secret", "bob": "bob-secret", "carol": "carol-secret",
}

// A Provider is Kamailio as a plain registrar and proxy.
type Provider struct {
	CA  *CA
	c   *Cell
	dir string
	run *Process
}

// Certificate says what the provider shows on TLS. The zero value is what it
// should show.
type Certificate struct {
	Name   string    // "": the domain
	Expiry time.Time // zero: in an hour
}

// StartProvider starts Kamailio on UDP and TCP 5060 and TLS 5061 of the
// provider's address and waits until it serves.
func (c *Cell) StartProvider(show Certificate) *Provider {
	c.t.Helper()
	program := need.Tool(c.t, "kamailio")
	defer starting()()
	need.Tool(c.t, "kamcmd")
	p := &Provider{c: c, dir: filepath.Join(c.dir, "provider")}
	c.must(os.MkdirAll(filepath.Join(p.dir, "sip"), 0o755))
	if show.Name == "" {
		show.Name = domain
	}
	if show.Expiry.IsZero() {
		show.Expiry = time.Now().Add(time.Hour)
	}
	ca, err := newCA()
	c.must(err)
	p.CA = ca
	c.must(ca.writeServer(p.dir, show.Name, show.Expiry))
	config := c.peerConfig("kamailio.cfg", p.dir, "@SIP_IP@", providerSIP.String(), "@DOMAIN@", domain, "@RUN@", p.dir)
	log := c.newLog("kamailio")
	p.run, err = c.Internet.start(log, p.dir, program, "-DD", "-E", "-m", "32", "-M", "4", "-Y", p.dir, "-f", config)
	c.must(err)
	c.onClose(p.run.Kill)
	c.join("what the provider received and sent", func() string { return ladder(p.mustTrace()) })
	c.eventually("Kamailio answers on its control socket", 20*time.Second, func() error {
		if ended, how := p.run.Ended(); ended {
			c.t.Fatalf("kamailio ended: %v\n%s", how, log)
		}
		_, err := p.command("core.uptime")
		return err
	})
	return p
}

// peerConfig fills the placeholders of a file of testbed/peers and returns the
// path of the result.
func (c *Cell) peerConfig(name, dir string, oldnew ...string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "peers", name))
	c.must(err)
	path := filepath.Join(dir, filepath.Base(name))
	c.must(os.WriteFile(path, []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o644))
	return path
}

func (p *Provider) command(argv ...string) (string, error) {
	return run("", "kamcmd", append([]string{"-s", "unix:" + filepath.Join(p.dir, "ctl")}, argv...)...)
}

// A Contact is one row of the provider's location table.
type Contact struct {
	URI      string
	Received string // "" unless the provider mended the contact, which it must not
	CallID   string
}

// Addr returns the host and port of the contact; the port of a URI without one
// is 5060.
func (c Contact) Addr() (netip.AddrPort, error) {
	rest := strings.TrimPrefix(c.URI, "sip:")
	rest = rest[strings.Index(rest, "@")+1:]
	rest, _, _ = strings.Cut(rest, ";")
	if !strings.Contains(rest, ":") {
		rest += ":5060"
	}
	return netip.ParseAddrPort(rest)
}

// Contacts returns the location table's rows of one user.
func (p *Provider) Contacts(user string) ([]Contact, error) {
	dump, err := p.command("ul.dump")
	if err != nil {
		return nil, err
	}
	var out []Contact
	aor := ""
	for line := range strings.Lines(dump) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		value = strings.TrimSpace(value)
		if key == "AoR" {
			aor = value
		}
		if aor != user {
			continue
		}
		switch key {
		case "Address":
			out = append(out, Contact{URI: value})
		case "Received":
			if value != "[not set]" {
				out[len(out)-1].Received = value
			}
		case "Call-ID":
			out[len(out)-1].CallID = value
		}
	}
	return out, nil
}

// Contact returns the only row of a user.
func (p *Provider) Contact(user string) (Contact, error) {
	all, err := p.Contacts(user)
	if err != nil {
		return Contact{}, err
	}
	if len(all) != 1 {
		return Contact{}, fmt.Errorf("%s has %d contacts, want one: %+v", user, len(all), all)
	}
	return all[0], nil
}

// A Traced message is one that the provider received or sent, decrypted.
type Traced struct {
	*Message
	Sent     bool
	Proto    string // udp, tcp, tls
	Src, Dst string // address:port
}

// Trace reads every message of the provider so far, in order.
func (p *Provider) Trace() ([]Traced, error) {
	files, err := filepath.Glob(filepath.Join(p.dir, "sip", "*"))
	if err != nil {
		return nil, err
	}
	var out []Traced
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for record := range strings.SplitSeq(string(text), "||||||||||||||||||||\n") {
			head, raw, ok := strings.Cut(record, "~~~~~~~~~~~~~~~~~~~~\n")
			if !ok {
				continue // the end, or what the file says of itself
			}
			m, bad := parseMessage(raw)
			if bad != nil {
				err = errors.Join(err, bad)
				continue
			}
			out = append(out, traced(head, m))
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func traced(head string, m *Message) Traced {
	f := map[string]string{}
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		f[key] = value
	}
	proto, _, _ := strings.Cut(f["proto"], " ")
	return Traced{Message: m, Sent: f["tag"] == "snd", Proto: proto, Src: f["srcip"] + ":" + f["srcport"], Dst: f["dstip"] + ":" + f["dstport"]}
}

// mustTrace is Trace for reports: what cannot be read is left out.
func (p *Provider) mustTrace() []Traced {
	all, _ := p.Trace()
	return all
}

// ladder prints messages one below the other, whole.
func ladder(all []Traced) string {
	var b strings.Builder
	for _, m := range all {
		way := "<-"
		if m.Sent {
			way = "->"
		}
		fmt.Fprintf(&b, "%s %s %s %s\n%s\n", way, m.Proto, m.Src, m.Dst, m.Raw)
	}
	return b.String()
}
