package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing wrong in a file.
type Mistake struct {
	File string
	Line int    // from 1
	Key  string // dotted, as upstream.main.domain
	Text string // what it is, what is allowed
}

// Error returns "file:line: key: what it is, what is allowed".
func (m Mistake) Error() string {
	return fmt.Sprintf("%s:%d: %s: %s", m.File, m.Line, m.Key, m.Text)
}

// Error is all that is wrong in one file, in the order of its lines; it is
// never empty.
type Error struct{ Mistakes []Mistake }

// Error returns one mistake a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// err returns what the decoder collected, nil if nothing.
func (d *decoder) err() error {
	if len(d.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(d.mistakes, func(a, b Mistake) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{Mistakes: d.mistakes}
}
