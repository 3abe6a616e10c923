package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The least and the longest lease a phone may be given: below, it does little
// but register, above, a lost phone stays unreachable for a day.
const (
	minLANExpires = 10 * time.Second
	maxLANExpires = 24 * time.Hour
)

// minPorts is room for 25 calls with audio: two sides, RTP and RTCP.
const minPorts = 100

// config reads the whole file into c, which holds the defaults.
func (d *decoder) config(c *Config) {
	t := d.root
	nat, media, register := t.table("nat"), t.table("media"), t.table("register")
	readNAT(nat, &c.NAT)
	media.text("ports", "a range as \"20000-29999\"", func(s string) (err error) {
		c.Media.Ports, err = parsePorts(s)
		return err
	})
	readICE(media, &c.Media.ICE)
	readRegister(register, &c.Register)
	for _, listen := range t.named("listen") {
		c.Listen = append(c.Listen, readListen(listen))
	}
	for _, upstream := range t.named("upstream") {
		c.Upstream = append(c.Upstream, readUpstream(upstream, c))
	}
	state, log := t.table("state"), t.table("log")
	state.text("file", "the path of a file", func(s string) error {
		c.State.File = d.path(s)
		return nil
	})
	log.text("level", "one of debug, info, warn, error", func(s string) error { return parseLevel(s, &c.Log.Level) })
	for _, t := range []*table{t, nat, media, register, state, log} {
		t.done()
	}
	d.together(c)
}

// path makes a path of the file absolute or relative to where we run; an empty
// one stays empty.
func (d *decoder) path(s string) string {
	if s == "" || filepath.IsAbs(s) {
		return s
	}
	return filepath.Join(d.dir, s)
}

func readNAT(t *table, n *NAT) {
	var stun []Host
	if t.list("stun", `a STUN server as "stun.example.com:3478"`, func(s string) error {
		h, err := parseHost(s)
		if h.Port == 0 {
			h.Port = DefaultSTUNPort
		}
		stun = append(stun, h)
		return err
	}) {
		n.STUN = stun
	}
	t.text("advertise", "one of auto, public, private, or an IP address", func(s string) error {
		switch mode := AdvertiseMode(s); mode {
		case AdvertiseAuto, AdvertisePublic, AdvertisePrivate:
			n.Advertise = Advertise{Mode: mode}
			return nil
		}
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return errWrong
		}
		if a.IsUnspecified() || a.IsMulticast() {
			return errors.New("nobody can reach us there")
		}
		n.Advertise = Advertise{Mode: AdvertiseAddress, Addr: a.Unmap()}
		return nil
	})
	choice(t, "keepalive", &n.KeepAlive, KeepAliveAuto, KeepAliveOff)
}

func readICE(t *table, dst *ICE) { choice(t, "ice", dst, ICEStrip, ICEPass) }

func readRegister(t *table, r *Register) {
	t.text("lan_expires", `a duration from "10s" to "24h"`, func(s string) error {
		v, err := time.ParseDuration(s)
		if err != nil {
			return errWrong
		}
		if v < minLANExpires || v > maxLANExpires {
			return errWrong
		}
		if v%time.Second != 0 {
			return errors.New("not in whole seconds")
		}
		r.LANExpires = v
		return nil
	})
	t.number("rate", 1, 1000, &r.Rate)
}

func parseLevel(s string, dst *slog.Level) error {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if s == strings.ToLower(level.String()) {
			*dst = level
			return nil
		}
	}
	return errWrong
}

// parsePorts reads "FIRST-LAST".
func parsePorts(s string) (PortRange, error) {
	first, last, ok := strings.Cut(s, "-")
	a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	switch {
	case !ok || err1 != nil || err2 != nil:
		return PortRange{}, errWrong
	case a < 1024:
		return PortRange{}, errors.New("ports below 1024 are for the system, and an ALG drops media on them")
	case a%2 == 1 || b%2 == 0:
		return PortRange{}, errors.New("the first port must be even and the last odd: RTP and RTCP go in pairs")
	case b < a+minPorts-1:
		return PortRange{}, errors.New("too small: a call takes four ports, and the range needs at least " + strconv.Itoa(minPorts))
	}
	return PortRange{First: uint16(a), Last: uint16(b)}, nil
}
