// Package lab proves the built binary against real peers: network namespaces
// with a LAN, a router with the kernel's own NAT and SIP ALG, and an internet
// with Kamailio and coturn. It owns everything it makes (namespaces, processes,
// captures) and takes it away again. Everything else in it has the build tag
// "lab" and needs root:
//
//	go test -tags lab ./testbed/lab/...
package lab
