package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// syntax reads src as TOML. The library ends at the first line that it cannot
// read; where that line is a plain "key = value", syntax notes it, blanks it
// and reads on, so that the mistakes behind it are found in the same run. It
// returns the source it could read in the end, or false.
func (d *decoder) syntax(src string) (map[string]any, string, bool) {
	lines := strings.Split(strings.TrimPrefix(src, "\ufeff"), "\n")
	for len(d.mistakes) < 100 {
		src = strings.Join(lines, "\n")
		values, err := decode(src)
		var parse toml.ParseError
		switch {
		case err == nil:
			return values, src, true
		case !errors.As(err, &parse):
			d.mistakes = append(d.mistakes, Mistake{File: d.file, Line: 1, Key: "syntax", Text: err.Error()})
			return nil, "", false
		}
		// Where a line end is what surprised the parser, its line number is
		// already the next one's; its offset is right.
		n := 1 + strings.Count(src[:min(max(parse.Position.Start, 0), len(src))], "\n")
		path, value, ok := plainPair(lines, n-1, strings.Contains(parse.Message, "already been defined"))
		m := Mistake{File: d.file, Line: n, Key: name(path), Text: "cannot be read: " + parse.Message}
		if ok && value != "" && strings.IndexByte(`"'[{`, value[0]) < 0 {
			m.Text = fmt.Sprintf("is %s, allowed is text in quotes, a whole number, true or false", value)
		}
		if len(path) == 0 {
			m.Key = "syntax"
		}
		d.mistakes = append(d.mistakes, m)
		if !ok {
			return nil, "", false
		}
		d.broken[pathKey(path...)] = true
		lines[n-1] = ""
	}
	return nil, "", false
}

// decode shields us from the library's own panics.
func decode(src string) (values map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read: %v", r)
		}
	}()
	_, err = toml.Decode(src, &values)
	return values, err
}

var (
	pairLine   = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+|"[^"\\]+")\s*=\s*([^#]*?)\s*(#.*)?$`)
	headerLine = regexp.MustCompile(`^\s*\[\s*([A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*\]\s*(#.*)?$`)
)

// plainPair returns the path and the value, as written, of the pair on
// lines[i]. It is false where blanking the line would change what others mean:
// no pair at all, a value that goes on over the next lines, a line which is good
// by itself but not where it stands, or a header above that it does not know.
func plainPair(lines []string, i int, duplicate bool) (path []string, value string, ok bool) {
	pair := pairLine.FindStringSubmatch(lines[i])
	if pair == nil {
		return nil, "", false
	}
	value = pair[2]
	if strings.Contains(value, `"""`) || strings.Contains(value, "'''") ||
		strings.Count(value, "[") != strings.Count(value, "]") || strings.Count(value, "{") != strings.Count(value, "}") {
		return nil, "", false
	}
	if _, err := decode(lines[i]); err == nil && !duplicate {
		return nil, "", false
	}
	for i--; i >= 0; i-- {
		if !strings.HasPrefix(strings.TrimSpace(lines[i]), "[") {
			continue
		}
		header := headerLine.FindStringSubmatch(lines[i])
		if header == nil {
			return nil, "", false
		}
		for part := range strings.SplitSeq(header[1], ".") {
			path = append(path, strings.TrimSpace(part))
		}
		break
	}
	return append(path, strings.Trim(pair[1], `"`)), value, true
}
