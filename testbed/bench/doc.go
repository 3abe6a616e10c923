//go:build linux

// Command bench measures what a registration and a call cost in the built
// binary, beside Kamailio doing the same work and a plain relay that does none
// of it: the proxy alone on one CPU, and on the other a generator that is both
// the phones and the provider, in network namespaces. It owns its namespaces,
// processes and the table in docs/performance.md.
package main
