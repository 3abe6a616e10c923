//go:build lab

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The addresses of a cell. The provider's SIP, the media and the STUN server
// are on different ones, as they are at providers.
var (
	phoneLAN    = netip.MustParseAddr("192.168.1.10")
	otherLAN    = netip.MustParseAddr("192.168.1.11")
	hostLAN     = netip.MustParseAddr("192.168.1.2")
	routerLAN   = netip.MustParseAddr("192.168.1.1")
	routerWAN   = netip.MustParseAddr("203.0.113.2")
	providerSIP = netip.MustParseAddr("198.51.100.10")
	stunFirst   = netip.MustParseAddr("198.51.100.20")
	stunSecond  = netip.MustParseAddr("198.51.100.21")
	lanPrefix   = netip.MustParsePrefix("192.168.1.0/24")
)

// domain is the registrar's, as phones know it.
const domain = "sip.example.com"

// A Cell is a small world of its own: phones and Pinhole's host on a LAN, a
// router that masquerades, and an internet. Everything in it ends with its test.
//
//	phones .10 .11 ── br0 192.168.1.1 [router] wan 203.0.113.2 ── 203.0.113.1 [internet] 198.51.100.x
//	host .2 ────────┘
type Cell struct {
	Phones, Host, Router, Internet *Netns
	LAN, WAN                       *Capture // on both sides of the router

	t       testing.TB
	dir     string
	mu      sync.Mutex
	parties []party
	closers []func() error // run last to first
}

// A party is someone whose log is worth reading when a test fails.
type party struct {
	name string
	say  func() string
}

var cells atomic.Int32

// starts bounds how many programs start at a time: starting is what costs, and
// with all cells at once nobody would be ready in time.
var starts = make(chan struct{}, 4)

// starting waits for its turn to start something; the function that it returns
// ends the turn.
func starting() (started func()) {
	starts <- struct{}{}
	return func() { <-starts }
}

// RouterOptions says what kind of router a cell has.
type RouterOptions struct {
	ALG   bool // the kernel's SIP helper on UDP and TCP port 5060
	Remap bool // SIP gets another source port
}

// NewCell builds a cell; it is taken down when t ends, after a failed t has
// printed what all parties saw.
func NewCell(t testing.TB, o RouterOptions) *Cell {
	t.Helper()
	c := &Cell{t: t, dir: t.TempDir()}
	t.Cleanup(c.close)
	defer starting()()
	c.must(c.makeNamespaces())
	c.must(c.connect())
	c.must(setUpRouter(c.Router, o))
	c.LAN, c.WAN = c.capture(c.Router, "br0"), c.capture(c.Router, "wan")
	c.join("router", c.routerState)
	return c
}

func (c *Cell) makeNamespaces() error {
	base := fmt.Sprintf("%s%d-%d-", namePrefix, os.Getpid(), cells.Add(1))
	for name, at := range map[string]**Netns{"phones": &c.Phones, "host": &c.Host, "router": &c.Router, "internet": &c.Internet} {
		n, err := newNetns(base + name)
		if err != nil {
			return err
		}
		c.onClose(n.close)
		*at = n
	}
	return nil
}

// connect lays the cables and gives the addresses. The internet has no route
// to private addresses, as the real one has none.
func (c *Cell) connect() error {
	return errors.Join(
		c.Router.ip(
			"link add br0 type bridge forward_delay 0",
			"link add phones type veth peer name eth0 netns "+c.Phones.Name,
			"link add host type veth peer name eth0 netns "+c.Host.Name,
			"link add wan type veth peer name wan netns "+c.Internet.Name,
			"link set phones master br0 up",
			"link set host master br0 up",
			"addr add 192.168.1.1/24 dev br0",
			"addr add 203.0.113.2/24 dev wan",
			"link set br0 up",
			"link set wan up"),
		c.Internet.ip(
			"addr add 203.0.113.1/24 dev wan",
			"link set wan up",
			"addr add 198.51.100.10/32 dev lo",
			"addr add 198.51.100.20/32 dev lo",
			"addr add 198.51.100.21/32 dev lo",
			"addr add 198.51.100.30/32 dev lo"),
		c.Router.ip("route add default via 203.0.113.1"),
		c.Phones.ip(
			"addr add 192.168.1.10/24 dev eth0",
			"addr add 192.168.1.11/24 dev eth0",
			"link set eth0 up",
			"route add default via 192.168.1.1"),
		c.Host.ip(
			"addr add 192.168.1.2/24 dev eth0",
			"link set eth0 up",
			"route add default via 192.168.1.1"))
}

// join adds someone to the report of a failure.
func (c *Cell) join(name string, say func() string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parties = append(c.parties, party{name, say})
}

// newLog returns a log that is part of the report.
func (c *Cell) newLog(name string) *Log {
	l := &Log{}
	c.join(name, l.String)
	return l
}

// onClose adds what is to be undone; the last thing added is undone first.
func (c *Cell) onClose(f func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closers = append(c.closers, f)
}

func (c *Cell) close() {
	if c.t.Failed() {
		c.report()
	}
	for len(c.closers) > 0 {
		last := len(c.closers) - 1
		f := c.closers[last]
		c.closers = c.closers[:last]
		if err := f(); err != nil {
			c.t.Errorf("taking the cell down: %v", err)
		}
	}
}

// report prints what everybody saw, and keeps the captures if LAB_OUT names a
// folder.
func (c *Cell) report() {
	var b strings.Builder
	for _, p := range c.parties {
		fmt.Fprintf(&b, "\n======== %s\n%s", p.name, p.say())
	}
	c.t.Log(b.String())
	if out := os.Getenv("LAB_OUT"); out != "" {
		base := out + "/" + strings.ReplaceAll(c.t.Name(), "/", "_")
		c.t.Logf("captures: %s-lan.pcap, -wan.pcap: %v", base,
			errors.Join(c.LAN.save(base+"-lan.pcap"), c.WAN.save(base+"-wan.pcap")))
	}
}

// must fails the test if the lab itself cannot work.
func (c *Cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("the lab: %v", err)
	}
}

// eventually waits until check returns nil. within is ten times what it takes
// when all is well; then the last answer fails the test.
func (c *Cell) eventually(what string, within time.Duration, check func() error) {
	c.t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-late.C:
			c.t.Fatalf("%s: not within %v: %v", what, within, err)
		case <-again.C:
		}
	}
}
