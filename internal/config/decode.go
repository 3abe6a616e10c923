package config

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// A decoder reads one file. It walks over the plain values of the document
// instead of decoding into structs, where the library ends at the first value
// of a wrong type.
type decoder struct {
	file     string
	dir      string // where relative paths start
	root     *table // nil: the syntax is beyond repair
	lines    positions
	broken   map[string]bool // keys whose line could not be read
	mistakes []Mistake
}

func newDecoder(file, src string) *decoder {
	d := &decoder{file: file, dir: filepath.Dir(file), broken: map[string]bool{}}
	if values, src, ok := d.syntax(src); ok {
		d.lines = scan(src)
		d.root = &table{d: d, values: values}
	}
	return d
}

// fail notes a mistake at path.
func (d *decoder) fail(path []string, format string, args ...any) {
	d.mistakes = append(d.mistakes, Mistake{
		File: d.file, Line: d.lines.at(path...), Key: name(path), Text: fmt.Sprintf(format, args...),
	})
}

// name writes path as a dotted key; an element shows its array's.
func name(path []string) string {
	if n := len(path); n > 1 && strings.HasPrefix(path[n-1], elementMark) {
		path = path[:n-1]
	}
	return toml.Key(path).String()
}

// A table is one table of the file. The methods that read a key leave the
// default alone when the key is absent, or wrong; done then says which keys
// nobody asked for. A table that is absent has no values.
type table struct {
	d      *decoder
	path   []string
	values map[string]any
	known  []string
}

func (t *table) at(key ...string) []string { return append(t.path[:len(t.path):len(t.path)], key...) }

func (t *table) fail(key, format string, args ...any) { t.d.fail(t.at(key), format, args...) }

// take returns the value of key and makes the key known.
func (t *table) take(key string) (any, bool) {
	t.known = append(t.known, key)
	v, ok := t.values[key]
	return v, ok
}

// has tells whether key is in the file, readable or not.
func (t *table) has(key string) bool {
	_, ok := t.values[key]
	return ok || t.d.broken[pathKey(t.at(key)...)]
}

// done reports the keys that nobody asked for.
func (t *table) done() {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if slices.Contains(t.known, key) {
			continue
		}
		if near := suggest(key, t.known); near != "" {
			t.fail(key, "is unknown, did you mean %s?", near)
		} else {
			t.fail(key, "is unknown, allowed is %s", oneOf(t.known))
		}
	}
}

// table returns the table at key.
func (t *table) table(key string) *table {
	sub := &table{d: t.d, path: t.at(key)}
	if v, ok := t.take(key); ok {
		if sub.values, ok = v.(map[string]any); !ok {
			t.fail(key, "is %s, allowed is a table [%s]", describe(v), name(sub.path))
		}
	}
	return sub
}

// named returns the tables [key.NAME] in the file's order.
func (t *table) named(key string) []*table {
	v, ok := t.take(key)
	if !ok {
		return nil
	}
	all, ok := v.(map[string]any)
	if !ok {
		t.fail(key, "is %s, allowed are tables with names of their own, as [%s.main]", describe(v), key)
		return nil
	}
	var tables []*table
	for name, v := range all {
		path := t.at(key, name)
		values, ok := v.(map[string]any)
		switch {
		case !ok:
			t.d.fail(path, "is %s, allowed are tables with names of their own, as [%s.main]", describe(v), key)
			continue
		case !isLabel(name) || name != strings.ToLower(name):
			t.d.fail(path, "has the name %q, allowed are lower case letters, digits and inner hyphens, at most 63", name)
		}
		tables = append(tables, &table{d: t.d, path: path, values: values})
	}
	slices.SortFunc(tables, func(a, b *table) int {
		return cmp.Or(cmp.Compare(t.d.lines.at(a.path...), t.d.lines.at(b.path...)), slices.Compare(a.path, b.path))
	})
	return tables
}

// text gives the string at key to parse, whose error says what is wrong with
// it and may be empty; allowed says what is right.
func (t *table) text(key, allowed string, parse func(string) error) {
	if v, ok := t.take(key); ok {
		t.parse(t.at(key), v, allowed, parse)
	}
}

// list does the same with each string of the array at key. It returns false
// where key is absent or no array.
func (t *table) list(key, allowed string, parse func(string) error) bool {
	v, ok := t.take(key)
	if !ok {
		return false
	}
	all, ok := v.([]any)
	if !ok {
		t.fail(key, "is %s, allowed is an array of strings, each %s", describe(v), allowed)
		return false
	}
	for i, v := range all {
		t.parse(t.at(key, element(i)), v, allowed, parse)
	}
	return true
}

func (t *table) parse(path []string, v any, allowed string, parse func(string) error) {
	s, ok := v.(string)
	if !ok {
		t.d.fail(path, "is %s, allowed is a string: %s", describe(v), allowed)
	} else if err := parse(s); err != nil {
		t.d.fail(path, "is %s%s, allowed is %s", describe(v), reason(err), allowed)
	}
}

// reason writes what parse found wrong behind the value.
func reason(err error) string {
	if err == errWrong {
		return ""
	}
	return " (" + err.Error() + ")"
}

// choice reads one word of allowed into dst.
func choice[T ~string](t *table, key string, dst *T, allowed ...T) {
	t.text(key, oneOf(allowed), func(s string) error {
		if !slices.Contains(allowed, T(s)) {
			return errWrong
		}
		*dst = T(s)
		return nil
	})
}

func oneOf[T ~string](allowed []T) string {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	if len(words) <= 2 {
		return strings.Join(words, " or ")
	}
	return "one of " + strings.Join(words, ", ")
}

// flag reads true or false into dst.
func (t *table) flag(key string, dst *bool) {
	if v, ok := t.take(key); ok {
		if b, ok := v.(bool); ok {
			*dst = b
		} else {
			t.fail(key, "is %s, allowed is true or false, without quotes", describe(v))
		}
	}
}

// port reads a port number into dst; 0 is allowed.
func (t *table) port(key string, dst *uint16) {
	n := int(*dst)
	t.number(key, 0, 65535, &n)
	*dst = uint16(n)
}

// number reads a whole number from low to high into dst.
func (t *table) number(key string, low, high int64, dst *int) {
	if v, ok := t.take(key); ok {
		if n, ok := v.(int64); ok && n >= low && n <= high {
			*dst = int(n)
		} else {
			t.fail(key, "is %s, allowed is a whole number from %d to %d, without quotes", describe(v), low, high)
		}
	}
}

// describe shows a value of the file in a message.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		if r := []rune(v); len(r) > 60 {
			return fmt.Sprintf("%q…", string(r[:60]))
		}
		return fmt.Sprintf("%q", v)
	case bool, int64, float64:
		return fmt.Sprint(v)
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	default:
		return "a date or time"
	}
}
