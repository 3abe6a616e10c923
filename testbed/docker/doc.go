// Package docker proves Pinhole's image against real peers in containers:
// phones and Pinhole on a LAN, a router with the kernel's NAT and SIP ALG, a
// carrier's NAT, and an internet with a provider and its media server. It owns
// the compose project pinhole-testbed: each test has a world of its own, one at
// a time, and nothing of it is left. The tests have the build tag "docker":
//
//	make docker-testbed
package docker
