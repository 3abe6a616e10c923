package config

import (
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The example is read line by line: exampleKey is a setting, active or
// commented out, exampleTable a header of either kind.
var (
	exampleKey   = regexp.MustCompile(`^(#?)("[^"]+"|[a-z_]+) = (.*)$`)
	exampleTable = regexp.MustCompile(`^(#?)\[([a-z.]+)\]$`)
)

// A setting is one key of the example.
type setting struct {
	path      string // listen.lan.address
	line      int    // index
	header    int    // index of its table's header
	commented bool
}

func readExample(t *testing.T) (lines []string, settings []setting) {
	t.Helper()
	src, err := os.ReadFile("../../config.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	lines = strings.Split(string(src), "\n")
	header, table := 0, ""
	for i, line := range lines {
		if m := exampleTable.FindStringSubmatch(line); m != nil {
			header, table = i, m[2]
		} else if m := exampleKey.FindStringSubmatch(line); m != nil {
			settings = append(settings, setting{path: table + "." + m[2], line: i, header: header, commented: m[1] != ""})
		} else if line != "" && !strings.HasPrefix(line, "# ") {
			t.Errorf("config.toml.example:%d: neither prose, nor a table, nor a key: %s", i+1, line)
		}
	}
	return lines, settings
}

// with returns the example after edit has changed the line of s; its header
// is active.
func (s setting) with(lines []string, edit func(string) string) []byte {
	lines = append([]string(nil), lines...)
	lines[s.header] = strings.TrimPrefix(lines[s.header], "#")
	lines[s.line] = edit(strings.TrimPrefix(lines[s.line], "#"))
	return []byte(strings.Join(lines, "\n"))
}

func same(line string) string { return line }

func TestExampleShowsTheDefaults(t *testing.T) {
	lines, settings := readExample(t)
	plain, err := Parse("config.toml.example", []byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen = []Listen{{Name: "lan", Address: netip.MustParseAddrPort("192.168.1.2:5060"), Transports: []Transport{UDP, TCP}}}
	want.Upstream = []Upstream{newUpstream("main", want)}
	want.Upstream[0].Domain = "sip.example.com"
	if !reflect.DeepEqual(plain, want) {
		t.Errorf("the example as it stands is\n%+v, not the defaults\n%+v", plain, want)
	}
	for _, s := range settings {
		if !s.commented {
			if _, err := Parse("x", s.with(lines, func(string) string { return "" })); err == nil {
				t.Errorf("line %d: %s is written as if it had no default, but has one", s.line+1, s.path)
			}
			continue
		}
		got, err := Parse("x", s.with(lines, same))
		switch {
		case err != nil:
			t.Errorf("line %d: %v", s.line+1, err)
		case strings.HasPrefix(s.path, "upstream.main.alias."):
			if len(got.Upstream[0].Alias) != 1 {
				t.Errorf("line %d: the alias was not read", s.line+1)
			}
		case !reflect.DeepEqual(normal(got), normal(plain)):
			t.Errorf("line %d: %s does not show the default:\n%+v, not\n%+v", s.line+1, s.path, got, plain)
		}
	}
}

// normal makes an empty list out of none: the example has to show both as [].
func normal(c *Config) *Config {
	n := *c
	n.NAT.STUN = append([]Host{}, n.NAT.STUN...)
	n.Upstream = append([]Upstream{}, n.Upstream...)
	for i := range n.Upstream {
		n.Upstream[i].NAT.STUN = append([]Host{}, n.Upstream[i].NAT.STUN...)
	}
	return &n
}

// TestExampleIsRead proves that each line of the example is looked at: a value
// of a type that no key takes is a mistake on that line.
func TestExampleIsRead(t *testing.T) {
	lines, settings := readExample(t)
	for _, s := range settings {
		src := s.with(lines, func(line string) string {
			key, _, _ := strings.Cut(line, " = ")
			return key + " = 1979-05-27"
		})
		_, err := Parse("x", src)
		if err == nil || !strings.Contains(err.Error(), ": "+s.path+": is a date or time, allowed is ") {
			t.Errorf("line %d: %s with a date gives: %v", s.line+1, s.path, err)
		}
	}
}

func TestExampleHasEveryField(t *testing.T) {
	_, settings := readExample(t)
	shown := map[string]bool{}
	for _, s := range settings {
		shown[s.path] = true
	}
	for _, path := range fields(reflect.TypeFor[Config](), "") {
		if path == "upstream.main.alias" {
			path += `."+4930123456"`
		}
		if !shown[path] {
			t.Errorf("%s has no line in config.toml.example", path)
		}
		delete(shown, path)
	}
	for path := range shown {
		t.Errorf("config.toml.example has %s, and Config has no such field", path)
	}
}

// fields returns the dotted key of each leaf below typ.
func fields(typ reflect.Type, prefix string) []string {
	names := map[string]string{"listen": "listen.lan", "upstream": "upstream.main"}
	var all []string
	for f := range typ.Fields() {
		key := f.Tag.Get("toml")
		inner := f.Type
		switch {
		case key == "" && f.Name == "Name":
			continue
		case names[key] != "":
			key, inner = names[key], f.Type.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.NumField() > 0 && inner.Field(0).Tag.Get("toml")+inner.Field(inner.NumField()-1).Tag.Get("toml") != "" {
			all = append(all, fields(inner, prefix+key+".")...)
		} else {
			all = append(all, prefix+key)
		}
	}
	return all
}
