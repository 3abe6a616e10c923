package proxy

import (
	"encoding/json"
	"fmt"
)

// savedUpstream is what was learned of a provider.
type savedUpstream struct {
	Via    string
	Floor  int
	Single bool
}

// State returns the sections of the state file.
func (c *Core) State() (map[string][]byte, error) {
	bindings, err := c.bindings.Save()
	if err != nil {
		return nil, err
	}
	learned := map[string]savedUpstream{}
	for name, up := range c.upstreams {
		learned[name] = savedUpstream{Via: up.form.String(), Floor: up.floor, Single: up.single}
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
			up.floor, up.single = v.Floor, v.Single
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
