package proxy

import (
	"encoding/json"
	"fmt"
	"net/netip"
)

// savedUpstream is what was learned of a provider and of the way to it.
type savedUpstream struct {
	Via           string
	Floor         int
	Single        bool
	Local, Mapped netip.AddrPort
}

// State returns the sections of the state file.
func (c *Core) State() (map[string][]byte, error) {
	bindings, err := c.bindings.Save()
	if err != nil {
		return nil, err
	}
	learned := map[string]savedUpstream{}
	for name, up := range c.upstreams {
		learned[name] = savedUpstream{
			Via: up.form.String(), Floor: up.floor, Single: up.single, Local: up.local, Mapped: up.mapping.Tuple(),
		}
	}
	upstreams, err := json.Marshal(learned)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"bindings": bindings, "upstreams": upstreams}, nil
}

// Restore takes in the sections of a state file, before anything else happens.
// section returns one by its name, nil where there is none.
func (c *Core) Restore(section func(name string) json.RawMessage) error {
	if data := section("upstreams"); len(data) > 0 {
		learned := map[string]savedUpstream{}
		if err := json.Unmarshal(data, &learned); err != nil {
			return fmt.Errorf("reading what was learned of upstreams: %w", err)
		}
		for name, v := range learned {
			up := c.upstreams[name]
			if up == nil {
				continue
			}
			up.floor, up.single, up.local = v.Floor, v.Single, v.Local
			up.mapping.Restore(v.Mapped)
			if up.ViaHost == "auto" {
				up.form = formOf(v.Via)
			}
		}
	}
	data := section("bindings")
	if len(data) == 0 {
		return nil
	}
	return c.bindings.Load(data)
}

// LastLocal returns the local address that an upstream's flow had last, in this
// run or the one before; zero where it never had one.
func (c *Core) LastLocal(name string) netip.AddrPort {
	if up := c.upstreams[name]; up != nil {
		return up.local
	}
	return netip.AddrPort{}
}
