package proxy

import (
	"log/slog"
	"net/netip"
	"time"

	"pinhole/internal/metrics"
)

// Settings is what the core is told at its start.
type Settings struct {
	Upstreams []Upstream
	LAN       []netip.Prefix // where phones live: their addresses never leave
	Key       []byte         // makes tokens, Call-IDs and opaque addresses; the same over restarts
	Log       *slog.Logger   // one line per state change
	Metrics   *metrics.Set
	Rand      func() uint64 // for branches and tags; must not be guessable
}

// An Upstream is one configured provider.
type Upstream struct {
	Name      string
	Domain    string // the registrar's domain, in lower case
	Server    string // host of the configured server, "" if none
	ViaHost   string // "auto", "invalid", "port" or "mapped"
	Placement string // of the token: "param", "user" or "both"
	Aliases   map[string]string
	Advertise string     // "auto", "public", "private" or "address"
	Address   netip.Addr // for Advertise "address"
	STUN      bool       // a STUN guess will come soon after the flow is up
	ICE       string     // "strip" or "pass"
	LANLease  time.Duration
	Rate      int // REGISTERs a second after all phones were lost
}
