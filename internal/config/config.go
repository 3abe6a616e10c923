// Package config reads a TOML file into valid settings, or says at which line
// what is wrong and what is allowed. A Config is a snapshot: nobody changes it
// once it is made. The package owns nothing and opens only the files that the
// configuration names.
package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"
)

// Config is one valid configuration. All addresses, prefixes and durations are
// parsed, all defaults filled in. It is safe for concurrent use, as long as
// nobody writes to it or to its slices and maps.
type Config struct {
	Listen   []Listen   `toml:"listen"`   // in the file's order; none: Complete makes them
	Upstream []Upstream `toml:"upstream"` // in the file's order; at least one after Parse
	NAT      NAT        `toml:"nat"`
	Media    Media      `toml:"media"`
	Register Register   `toml:"register"`
	State    State      `toml:"state"`
	Log      Log        `toml:"log"`
}

// Listen is one address that phones reach us at, [listen.NAME].
type Listen struct {
	Name       string         // NAME: lower case letters, digits and hyphens
	Address    netip.AddrPort `toml:"address"`
	Transports []Transport    `toml:"transports"` // UDP and TCP in any mix, or TLS alone
	Allow      []netip.Prefix `toml:"allow"`      // who may speak to us; none: Complete fills it from the interface
	Cert       string         `toml:"cert"`       // PEM file with the chain; set if and only if TLS
	Key        string         `toml:"key"`        // PEM file
}

// Upstream is one provider, [upstream.NAME]. NAT, Register and Media hold what
// is in force for it: the global settings with its own over them.
type Upstream struct {
	Name        string            // NAME, as Listen.Name
	Domain      string            `toml:"domain"`    // the registrar as phones know it, lower case; a host name or an IP literal
	Server      Host              `toml:"server"`    // where to connect; zero: what DNS says of Domain (RFC 3263)
	Transport   Transport         `toml:"transport"` // TLS, TCP, UDP or Auto
	CA          string            `toml:"ca"`        // PEM file; empty: the system's roots
	Insecure    bool              `toml:"insecure"`  // accept any certificate
	TLSName     string            `toml:"tls_name"`  // the name asked for and accepted; empty: Server's host name, else Domain
	TLSIdentity TLSIdentity       `toml:"tls_identity"`
	ViaHost     ViaHost           `toml:"via_host"`
	Token       Token             `toml:"token"`
	SourcePort  uint16            `toml:"source_port"` // local port of the flow; 0: any
	Alias       map[string]string `toml:"alias"`       // number the provider dials → AOR user; nil: none
	NAT         NAT               `toml:"nat"`
	Register    Register          `toml:"register"`
	Media       UpstreamMedia     `toml:"media"`
}

// NAT says how we learn and give our public address, [nat].
type NAT struct {
	STUN      []Host    `toml:"stun"`      // Port is never 0; none: ask _stun._udp of the upstream's domain
	Advertise Advertise `toml:"advertise"` // what Contact and SDP name
	KeepAlive KeepAlive `toml:"keepalive"` // whether idle flows are kept open
}

// Media is the relay's part, [media].
type Media struct {
	Ports PortRange `toml:"ports"`
	ICE   ICE       `toml:"ice"`
}

// UpstreamMedia is what of Media an upstream can have of its own.
type UpstreamMedia struct {
	ICE ICE `toml:"ice"`
}

// Register is [register].
type Register struct {
	LANExpires time.Duration `toml:"lan_expires"` // longest lease given to a phone; whole seconds
	Rate       int           `toml:"rate"`        // REGISTERs a second to an upstream after it lost them all
}

// State is [state].
type State struct {
	File string `toml:"file"` // empty: nothing is kept over a restart
}

// Log is [log].
type Log struct {
	Level slog.Level `toml:"level"`
}

// DefaultSTUNPort is taken where nat.stun names a host alone (RFC 8489 §18.6).
const DefaultSTUNPort = 3478

// Default returns the settings of a file that says nothing: no listener and no
// upstream yet.
func Default() *Config {
	return &Config{
		NAT:      NAT{Advertise: Advertise{Mode: AdvertiseAuto}, KeepAlive: KeepAliveAuto},
		Media:    Media{Ports: PortRange{First: 20000, Last: 29999}, ICE: ICEStrip},
		Register: Register{LANExpires: 180 * time.Second, Rate: 20},
		State:    State{File: "/var/lib/pinhole/state"},
		Log:      Log{Level: slog.LevelInfo},
	}
}

// Load reads the file at path. A file that cannot be read is a plain error, a
// file with mistakes an *Error that holds them all.
func Load(path string) (*Config, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, src)
}

// Parse reads src, the contents of the file called name. Relative paths in it
// start at name's folder. The error is an *Error that holds all mistakes.
func Parse(name string, src []byte) (*Config, error) {
	d := newDecoder(name, string(src))
	c := Default()
	if d.root != nil {
		d.config(c)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return c, nil
}
