//go:build lab

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pinhole/testbed/peer"
)

// program is the built pinhole; TestMain makes it.
var program string

// buildPinhole builds the program as it is shipped into a folder.
func buildPinhole(dir string) error {
	program = filepath.Join(dir, "pinhole")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "../../cmd/pinhole")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building pinhole: %w\n%s", err, said)
	}
	return nil
}

// A Place is the machine that Pinhole runs on.
type Place string

// The two places.
const (
	OnHost   Place = "LAN host"
	OnRouter Place = "router"
)

// addr is Pinhole's address for phones.
func (p Place) addr() netip.Addr {
	if p == OnRouter {
		return routerLAN
	}
	return hostLAN
}

// PinholeOptions says where Pinhole runs and how it reaches the provider. The
// zero value of what is not set is the file's default.
type PinholeOptions struct {
	Place  Place
	Proto  string // peer.UDP, peer.TCP or peer.TLS
	Listen string // the listener's address; "": port 5060 of Place's
	CA     []byte // for TLS; nil: the provider's own
	NAT    string // more lines of [nat]
	Main   string // more lines of [upstream.main]
}

// A Pinhole is the built binary, run with a file.
type Pinhole struct {
	Log  *Log
	c    *Cell
	o    PinholeOptions
	ns   *Netns
	file string
	run  *Process
}

// Start starts Pinhole and returns when it listens for phones; the provider
// need not have been reached.
func (c *Cell) StartPinhole(provider *Provider, o PinholeOptions) *Pinhole {
	c.t.Helper()
	p := &Pinhole{c: c, Log: c.newLog("pinhole"), ns: c.Host}
	if o.Place == OnRouter {
		p.ns = c.Router
	}
	dir := filepath.Join(c.dir, "pinhole")
	c.must(os.MkdirAll(dir, 0o755))
	p.file = filepath.Join(dir, "pinhole.toml")
	p.Configure(provider, o)
	c.onClose(func() error { return p.run.Kill() })
	p.Start()
	return p
}

// Configure writes Pinhole's file; it counts from the next start.
func (p *Pinhole) Configure(provider *Provider, o PinholeOptions) {
	p.c.t.Helper()
	if o.CA == nil {
		o.CA = provider.CA.PEM
	}
	p.o = o
	p.c.must(os.WriteFile(filepath.Join(filepath.Dir(p.file), "ca.pem"), o.CA, 0o644))
	p.c.must(os.WriteFile(p.file, []byte(o.file()), 0o644))
}

// file writes the configuration.
func (o PinholeOptions) file() string {
	listen, port := o.Listen, 5060
	if listen == "" {
		listen = netip.AddrPortFrom(o.Place.addr(), 5060).String()
	}
	if o.Proto == peer.TLS {
		port = 5061
	}
	return fmt.Sprintf(`
[listen.lan]
address = %q
allow = [%q]
[upstream.main]
domain = %q
server = "%v:%d"
transport = %q
ca = "ca.pem"
%s
[nat]
stun = [%q]
%s
[state]
file = "state"
[log]
level = "debug"
`, listen, lanPrefix, domain, providerSIP, port, o.Proto, o.Main, stunServer, o.NAT)
}

// Start starts the binary again after Kill or Stop.
func (p *Pinhole) Start() {
	p.c.t.Helper()
	before := p.said("listening for phones")
	run, err := p.ns.start(p.Log, filepath.Dir(p.file), program, "run", "-c", p.file)
	p.c.must(err)
	p.run = run
	p.c.eventually("pinhole listens", patience, func() error {
		if ended, how := run.Ended(); ended {
			p.c.t.Fatalf("pinhole ended: %v\n%s", how, p.Log)
		}
		if p.said("listening for phones") == before {
			return fmt.Errorf("it does not")
		}
		return nil
	})
}

// Stop is SIGTERM; Pinhole must end by itself and well.
func (p *Pinhole) Stop() {
	p.c.t.Helper()
	p.c.must(p.run.Signal(syscall.SIGTERM))
	if err := p.run.wait(patience); err != nil {
		p.c.t.Errorf("pinhole after SIGTERM: %v", err)
	}
}

// Kill is kill -9.
func (p *Pinhole) Kill() {
	p.c.t.Helper()
	p.c.must(p.run.Kill())
}

// said counts the lines of the log with a message.
func (p *Pinhole) said(msg string) int {
	return strings.Count(p.Log.String(), "msg="+quoted(msg))
}

// quoted writes a word as slog's text handler does.
func quoted(s string) string {
	if strings.ContainsAny(s, " =\"") {
		return strconv.Quote(s)
	}
	return s
}

// says waits until the log has had a message n times.
func (p *Pinhole) says(msg string, n int) {
	p.c.t.Helper()
	p.c.eventually(fmt.Sprintf("pinhole says %q %d times", msg, n), patience, func() error {
		if got := p.said(msg); got < n {
			return fmt.Errorf("%d times", got)
		}
		return nil
	})
}

// Resident returns the memory of Pinhole that is in RAM, in bytes.
func (p *Pinhole) Resident() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.run.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("reading the memory of pinhole: no VmRSS in %q", status)
	}
	kB, err := strconv.Atoi(fields[0])
	return kB << 10, err
}

// Phone is a phone on the LAN that talks to the provider through Pinhole.
func (p *Pinhole) Phone(user, proto string, at netip.Addr, edit func(sdp string) string) *peer.Phone {
	p.c.t.Helper()
	return p.c.phone(p.c.Phones, peer.PhoneConfig{
		User: user, Proto: proto, Addr: netip.AddrPortFrom(at, 0), Expires: time.Hour,
		Proxy: netip.AddrPortFrom(p.o.Place.addr(), 5060), EditSDP: edit,
	})
}

// mapped demands that the location table has one row for a user, that it names
// the public address and port from which Pinhole's REGISTER came, that the
// router has that mapping, and that it is not mended by the provider. It
// returns the row.
func (p *Pinhole) mapped(provider *Provider, user string) Contact {
	p.c.t.Helper()
	row, err := provider.Contact(user)
	if err != nil {
		p.c.t.Fatal(err)
	}
	at, err := row.Addr()
	if err != nil {
		p.c.t.Fatalf("the location table holds %+v: %v", row, err)
	}
	from := ""
	p.c.eventually("the provider wrote the REGISTER", patience, func() error {
		all, err := provider.Trace()
		for _, m := range all {
			if !m.Sent && m.Method() == "REGISTER" && m.Get("call-id") == row.CallID {
				from = m.Src
			}
		}
		if err == nil && from == "" {
			err = fmt.Errorf("none with Call-ID %s", row.CallID)
		}
		return err
	})
	if at.Addr() != routerWAN || at.String() != from || row.Received != "" {
		p.c.t.Errorf("the location table holds %+v, want the mapped address %s", row, from)
	}
	table, err := p.c.mappings()
	if err != nil {
		p.c.t.Fatal(err)
	}
	if back := fmt.Sprintf("src=%v dst=%v sport=%d dport=%d ", providerSIP, routerWAN, p.port(), at.Port()); !strings.Contains(table, back) {
		p.c.t.Errorf("the router has no mapping %q:\n%s", back, table)
	}
	return row
}

// port is the provider's.
func (p *Pinhole) port() int {
	if p.o.Proto == peer.TLS {
		return 5061
	}
	return 5060
}
