package resolve

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/miekg/dns"
)

// Hosts are the names known without DNS, in lower case.
type Hosts map[string][]netip.Addr

// ReadServers reads the name servers of a resolv.conf(5) file. Where there is
// no file or none in it, it is the resolver on this host, as for the C
// library.
func ReadServers(path string) ([]netip.AddrPort, error) {
	local := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}
	c, err := dns.ClientConfigFromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return local, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var servers []netip.AddrPort
	for _, s := range c.Servers {
		if a, err := netip.ParseAddr(s); err == nil {
			servers = append(servers, netip.AddrPortFrom(a.Unmap(), 53))
		}
	}
	if len(servers) == 0 {
		return local, nil
	}
	return servers, nil
}

// ReadHosts reads a hosts(5) file; IPv4 addresses of a name come first. Where
// there is no file, it is empty. Lines that are not right are passed over, as
// everybody does.
func ReadHosts(path string) (Hosts, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v4, v6 := Hosts{}, Hosts{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		to := v6
		if a = a.Unmap(); a.Is4() {
			to = v4
		}
		for _, name := range fields[1:] {
			to[canonical(name)] = append(to[canonical(name)], a)
		}
	}
	for name, addrs := range v6 {
		v4[name] = append(v4[name], addrs...)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return v4, nil
}
