package config

import (
	"os"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestScan(t *testing.T) {
	src := "# a comment with [brackets]\r\n" + // 1
		"top = \"a # b [c]\" # d = 1\n" + // 2
		"[a.b]\n" + // 3
		"x . y = 1\n" + // 4
		"text = \"\"\"\n[no]\nz = 1 \\\"\"\" \"\"\"\"\n" + // 5-7
		"raw = '''\n[no]'''\n" + // 8-9
		"list = [ # [\n  \"one\", 'two]',\n  [3,\n   4],\n]\n" + // 10-14
		"inline = { p = 1, \"q.r\" = [\n{ s = \"}\" } ] }\n" + // 15-16
		"[a]\n" + // 17
		"date = 1979-05-27 07:32:00 # x\n" + // 18
		"\"\\u00e4\\\"\" = 1\n" + // 19
		"[[many]]\nm = 1\n[[many]]\nm = 2\n" // 20-23
	want := map[string]int{
		"top": 2, "a.b": 3, "a.b.x": 4, "a.b.x.y": 4, "a.b.text": 5, "a.b.raw": 8, "a.b.list": 10,
		"a.b.list.[0]": 11, "a.b.list.[1]": 11, "a.b.list.[2]": 12, "a.b.list.[2].[0]": 12, "a.b.list.[2].[1]": 13,
		"a.b.inline": 15, "a.b.inline.p": 15, "a.b.inline.q·r": 15, "a.b.inline.q·r.[0]": 16, "a.b.inline.q·r.[0].s": 16,
		"a": 17, "a.date": 18, "a.ä\"": 19, "many": 20, "many.m": 21,
	}
	if _, err := decode(src); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for path, line := range scan(src) {
		parts := strings.Split(strings.ReplaceAll(path, ".", "·"), "\x00")
		for i, part := range parts {
			if n, ok := strings.CutPrefix(part, elementMark); ok {
				parts[i] = "[" + n + "]"
			}
		}
		got[strings.Join(parts, ".")] = line
	}
	for path, line := range want {
		if got[path] != line {
			t.Errorf("%s stands in line %d, not in %d", path, line, got[path])
		}
		delete(got, path)
	}
	if len(got) != 0 {
		t.Errorf("found also %v", got)
	}
}

// FuzzScan compares our walk with the library's list of keys.
func FuzzScan(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, src string) {
		var values map[string]any
		meta, err := func() (meta toml.MetaData, err error) {
			if _, err = decode(src); err == nil {
				meta, err = toml.Decode(src, &values)
			}
			return meta, err
		}()
		if err != nil || strings.HasPrefix(src, "\ufeff") {
			return
		}
		found := map[string]int{}
		for path, line := range scan(src) {
			var parts []string
			for part := range strings.SplitSeq(path, "\x00") {
				if !strings.HasPrefix(part, elementMark) {
					parts = append(parts, part)
				}
			}
			found[strings.Join(parts, "\x00")] = line
		}
		lines := strings.Count(src, "\n") + 1
		for _, key := range meta.Keys() {
			if line := found[pathKey(key...)]; line < 1 || line > lines {
				t.Errorf("%q has line %d of %d", key, line, lines)
			}
		}
	})
}

// FuzzParse looks for a panic, and for a mistake outside the file.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, src string) {
		c, err := Parse("f", []byte(src))
		if (c == nil) == (err == nil) {
			t.Fatalf("both or none: %v, %v", c, err)
		}
		if err == nil {
			if len(c.Upstream) == 0 || c.Upstream[0].Domain == "" {
				t.Errorf("taken without an upstream: %+v", c)
			}
			return
		}
		lines := strings.Count(src, "\n") + 1
		for _, m := range err.(*Error).Mistakes {
			if m.Line < 1 || m.Line > lines || m.Key == "" || m.Text == "" {
				t.Errorf("mistake of a file of %d lines: %+v", lines, m)
			}
		}
	})
}

func seed(f *testing.F) {
	for _, path := range []string{"../../config.toml.example", "testdata/mistakes.toml"} {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
		f.Add(strings.ReplaceAll(string(src), "\n#", "\n"))
	}
	f.Add("a.b.'c.d' = [{x = 1}, {y = [[2]]}]\n[[t]]\n[t.u]\nv = '''\n''''\n")
}
