//go:build lab

package lab

import (
	"net/netip"
	"path/filepath"

	"pinhole/testbed/need"
)

// sippMedia is sipp's RTP port; it echoes what comes there.
const sippMedia = "6000"

// StartSipp runs sipp as a phone over UDP: it registers, and then answers one
// call and sends back its sound. It returns the answering part once the
// registration stands.
func (c *Cell) StartSipp(n *Netns, user string, at, proxy netip.AddrPort) *Process {
	c.t.Helper()
	program := need.Tool(c.t, "sipp")
	log := c.newLog("sipp " + user)
	folder, err := filepath.Abs(filepath.Join("..", "peers", "sipp"))
	c.must(err)
	who := []string{
		program, proxy.String(), "-nostdin", "-m", "1", "-s", user, "-key", "domain", domain,
		"-i", at.Addr().String(), "-p", "5060", "-trace_err", "-error_file", filepath.Join(c.dir, "sipp-errors"),
	}
	registering, err := n.start(log, c.dir, append(who, "-sf", filepath.Join(folder, "register.xml"),
		"-au", user, "-ap", passwords[user], "-auth_uri", domain)...)
	c.must(err)
	c.onClose(registering.Kill)
	c.must(registering.wait(patience))
	answering, err := n.start(log, c.dir, append(who, "-sf", filepath.Join(folder, "answer.xml"), "-mp", sippMedia, "-rtp_echo")...)
	c.must(err)
	c.onClose(answering.Kill)
	return answering
}
