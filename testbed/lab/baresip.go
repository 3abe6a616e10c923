//go:build lab

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"pinhole/testbed/need"
)

// A Baresip is a softphone of its own kind: it answers at once and its voice is
// a tone.
type Baresip struct {
	run *Process
}

// StartBaresip starts baresip and returns when it says that it is registered.
func (c *Cell) StartBaresip(n *Netns, user string, at netip.Addr, proxy netip.AddrPort, transport string) *Baresip {
	c.t.Helper()
	program := need.Tool(c.t, "baresip")
	defer starting()()
	dir := filepath.Join(c.dir, "baresip-"+user)
	c.must(os.MkdirAll(dir, 0o755))
	c.peerConfig("baresip/config", dir, "@IP@", at.String(), "@RTP_PORTS@", "40000-40100")
	c.peerConfig("baresip/accounts", dir, "@USER@", user, "@DOMAIN@", domain, "@PASSWORD@", passwords[user],
		"@PROXY@", proxy.String(), "@TRANSPORT@", transport)
	log := c.newLog("baresip " + user)
	run, err := n.start(log, dir, program, "-4", "-f", dir)
	c.must(err)
	c.onClose(run.Kill)
	c.eventually("baresip registers", patience, func() error {
		if ended, how := run.Ended(); ended {
			c.t.Fatalf("baresip ended: %v\n%s", how, log)
		}
		if !strings.Contains(log.String(), "200 OK") {
			return fmt.Errorf("no 200 OK yet")
		}
		return nil
	})
	return &Baresip{run: run}
}

// packets is what baresip prints at the end of a call: sent and received.
var packets = regexp.MustCompile(`packets: +(\d+) +(\d+)`)

// Packets returns how many audio packets baresip sent and received in the call
// that has just ended.
func (b *Baresip) Packets() (sent, received int, err error) {
	all := packets.FindAllStringSubmatch(b.run.Log.String(), -1)
	if len(all) == 0 {
		return 0, 0, errors.New("baresip has printed no statistics of a call yet")
	}
	last := all[len(all)-1]
	sent, err = strconv.Atoi(last[1])
	if err != nil {
		return 0, 0, err
	}
	received, err = strconv.Atoi(last[2])
	return sent, received, err
}
