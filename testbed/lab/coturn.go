//go:build lab

package lab

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"pinhole/testbed/need"
)

// stunServer is where the lab's STUN server answers.
var stunServer = netip.AddrPortFrom(stunFirst, 3478)

// StartSTUN starts coturn on its two addresses and waits until it answers.
func (c *Cell) StartSTUN() {
	c.t.Helper()
	program := need.Tool(c.t, "turnserver")
	defer starting()()
	dir := filepath.Join(c.dir, "stun")
	c.must(os.MkdirAll(dir, 0o755))
	config := c.peerConfig("turnserver.conf", dir,
		"@FIRST_IP@", stunFirst.String(), "@SECOND_IP@", stunSecond.String(), "@RUN@", dir)
	log := c.newLog("coturn")
	run, err := c.Internet.start(log, dir, program, "-c", config)
	c.must(err)
	c.onClose(run.Kill)
	c.eventually("coturn answers", 20*time.Second, func() error {
		if ended, how := run.Ended(); ended {
			c.t.Fatalf("coturn ended: %v\n%s", how, log)
		}
		return c.Internet.do(askSTUN)
	})
}

// askSTUN sends one Binding request (RFC 8489) and waits for its answer.
func askSTUN() error {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(stunServer))
	if err != nil {
		return err
	}
	defer conn.Close()
	request := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, "pinhole-lab!"...)
	if _, err := conn.Write(request); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	answer := make([]byte, 512)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if n < 20 || answer[0] != 1 || answer[1] != 1 || !bytes.Equal(answer[8:20], request[8:]) {
		return fmt.Errorf("%x is no answer to a Binding request", answer[:n])
	}
	return nil
}
