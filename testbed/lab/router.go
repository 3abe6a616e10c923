//go:build lab

package lab

import (
	"errors"
	"io/fs"
	"strings"
)

// masquerade is the NAT of nearly every home router: endpoint-independent
// mapping that keeps the port where it can, address and port dependent
// filtering (RFC 4787). Input on the WAN side is accepted, so that a packet
// that comes in before our own went out takes the port from us.
const masquerade = `
table ip nat {
	chain post {
		type nat hook postrouting priority srcnat
		oifname "wan" masquerade
	}
}
`

// sipHelper attaches the kernel's SIP ALG (nf_conntrack_sip, nf_nat_sip), as
// routers do that have it "on": kernels since 6.0 attach no helper by
// themselves. Before the NAT (priority -150), for forwarded and own packets.
const sipHelper = `
table ip alg {
	ct helper sip-udp {
		type "sip" protocol udp
		l3proto ip
	}
	ct helper sip-tcp {
		type "sip" protocol tcp
		l3proto ip
	}
	chain forwarded {
		type filter hook prerouting priority mangle
		udp dport 5060 ct helper set "sip-udp"
		tcp dport 5060 ct helper set "sip-tcp"
	}
	chain own {
		type filter hook output priority mangle
		udp dport 5060 ct helper set "sip-udp"
		tcp dport 5060 ct helper set "sip-tcp"
	}
}
`

// remapped is masquerade that gives what goes to a SIP port another source port,
// as a NAT does when two machines have the same one. STUN, which asks another
// port, then guesses wrong.
const remapped = `
table ip remap {
	chain post {
		type nat hook postrouting priority srcnat - 1
		oifname "wan" meta l4proto { tcp, udp } th dport { 5060, 5061 } masquerade to :61000-61999
	}
}
`

// setUpRouter makes the namespace forward and masquerade, with the short
// time-outs of a bad router.
func setUpRouter(n *Netns, o RouterOptions) error {
	rules := masquerade
	if o.Remap {
		rules += remapped
	}
	if o.ALG {
		rules += sipHelper
	}
	if err := n.sysctl("net/bridge/bridge-nf-call-iptables", "0"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // the bridge is a switch: the ALG does not see what phones say to a host beside them
	}
	return errors.Join(
		n.sysctl("net/ipv4/ip_forward", "1"),
		n.nft(rules), // first: it brings conntrack, whose time-outs follow
		n.sysctl("net/netfilter/nf_conntrack_udp_timeout", "35"),
		n.sysctl("net/netfilter/nf_conntrack_udp_timeout_stream", "35"),
		n.sysctl("net/netfilter/nf_conntrack_tcp_timeout_established", "60"))
}

// mappings returns the router's connection table.
func (c *Cell) mappings() (string, error) {
	return c.Router.exec("conntrack", "-L")
}

// helped says whether a connection to the provider has the ALG attached.
func (c *Cell) helped() (bool, error) {
	table, err := c.mappings()
	for line := range strings.Lines(table) {
		if strings.Contains(line, " dst="+providerSIP.String()+" ") && strings.Contains(line, "helper=sip") {
			return true, err
		}
	}
	return false, err
}

func (c *Cell) routerState() string {
	table, err := c.mappings()
	if err != nil {
		return err.Error()
	}
	expected, err := c.Router.exec("conntrack", "-L", "expect")
	if err != nil {
		return err.Error()
	}
	return table + expected
}
