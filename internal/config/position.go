package config

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// positions maps each table, key and array element of a TOML document to its
// line, since the library tells neither where an unknown key stands nor where
// an element of an array does. Keys are made by pathKey from paths, where
// element says which one of an array.
type positions map[string]int

func pathKey(path ...string) string { return strings.Join(path, "\x00") }

// elementMark starts the part of a path that names an element.
const elementMark = "\x1f"

func element(i int) string { return elementMark + strconv.Itoa(i) }

// at returns the line of path, or of the nearest table around it; at least 1.
func (p positions) at(path ...string) int {
	for n := len(path); n > 0; n-- {
		if line, ok := p[pathKey(path[:n]...)]; ok {
			return line
		}
	}
	return 1
}

// scan returns the positions of src, which toml.Decode must have accepted: it
// walks over the document without judging it.
func scan(src string) positions {
	s := scanner{src: src, line: 1, found: positions{}}
	var table []string
	for s.blank(); s.i < len(s.src); s.blank() {
		if s.peek() != '[' {
			s.pair(table)
			continue
		}
		s.skip("[")
		line := s.line
		table = s.key()
		// A header is the best place for its table, also where a sub-table
		// came first; one of an array of tables counts the first time.
		if _, seen := s.found[pathKey(table...)]; !seen || s.implicit[pathKey(table...)] {
			s.note(line, table)
			delete(s.implicit, pathKey(table...))
		}
		s.skip("]")
	}
	return s.found
}

type scanner struct {
	src      string
	i, line  int
	found    positions
	implicit map[string]bool // found only as the parent of another
}

func (s *scanner) peek() byte {
	if s.i < len(s.src) {
		return s.src[s.i]
	}
	return 0
}

func (s *scanner) next() byte {
	c := s.peek()
	if c == '\n' {
		s.line++
	}
	s.i++
	return c
}

// skip passes any run of the characters in set and of blanks.
func (s *scanner) skip(set string) {
	for s.i < len(s.src) && strings.IndexByte(set+" \t\r", s.src[s.i]) >= 0 {
		s.next()
	}
}

// blank passes blanks, line ends and comments.
func (s *scanner) blank() {
	for s.skip("\n"); s.peek() == '#'; s.skip("\n") {
		for s.i < len(s.src) && s.peek() != '\n' {
			s.next()
		}
	}
}

// note records path at line, and its parents where they are new.
func (s *scanner) note(line int, path []string) {
	if s.implicit == nil {
		s.implicit = map[string]bool{}
	}
	s.found[pathKey(path...)] = line
	for n := len(path) - 1; n > 0; n-- {
		parent := pathKey(path[:n]...)
		if _, seen := s.found[parent]; !seen {
			s.found[parent] = line
			s.implicit[parent] = true
		}
	}
}

// pair passes "key = value" in table.
func (s *scanner) pair(table []string) {
	line := s.line
	path := append(table[:len(table):len(table)], s.key()...)
	if _, seen := s.found[pathKey(path...)]; !seen {
		s.note(line, path)
	}
	s.skip("=")
	s.value(path)
}

// key passes a dotted key and the blanks around it.
func (s *scanner) key() []string {
	var parts []string
	for {
		s.skip("")
		start := s.i
		if c := s.peek(); c == '"' || c == '\'' {
			s.text()
			parts = append(parts, unquote(s.src[start:s.i]))
		} else {
			for s.i < len(s.src) && strings.IndexByte(".=] \t\r\n", s.peek()) < 0 {
				s.next()
			}
			parts = append(parts, s.src[start:s.i])
		}
		if s.skip(""); s.peek() != '.' {
			return parts
		}
		s.next()
	}
}

// value passes the value of path.
func (s *scanner) value(path []string) {
	switch s.peek() {
	case '"', '\'':
		s.text()
	case '[':
		s.next()
		n := 0
		for s.items(']') {
			inner := append(path[:len(path):len(path)], element(n))
			s.note(s.line, inner)
			s.value(inner)
			n++
		}
	case '{':
		s.next()
		for s.items('}') {
			s.pair(path)
		}
	default:
		for s.i < len(s.src) && strings.IndexByte(",]}#\n", s.peek()) < 0 {
			s.next()
		}
	}
}

// items passes what separates items, and tells whether there is another before
// end, which it passes too.
func (s *scanner) items(end byte) bool {
	for s.blank(); s.peek() == ','; s.blank() {
		s.next()
	}
	if s.i >= len(s.src) || s.peek() == end {
		s.next()
		return false
	}
	return true
}

// text passes a string of any of the four kinds.
func (s *scanner) text() {
	quote := s.peek()
	end := string(quote)
	if triple := strings.Repeat(end, 3); strings.HasPrefix(s.src[s.i:], triple) {
		end = triple
	}
	for range end {
		s.next()
	}
	for s.i < len(s.src) && !strings.HasPrefix(s.src[s.i:], end) {
		if s.next() == '\\' && quote == '"' {
			s.next()
		}
	}
	for range end {
		s.next()
	}
	// Up to two quotes may stand before the closing three.
	for len(end) == 3 && s.peek() == quote {
		s.next()
	}
}

// unquote returns what a quoted key means.
func unquote(s string) string {
	var doc struct{ K string }
	if _, err := toml.Decode("k="+s, &doc); err != nil {
		return s
	}
	return doc.K
}
