package message

import (
	"iter"
	"strings"
)

// An Elem is one of the comma-separated values of a header line: its line and
// its offsets in Raw, without the blanks round it.
type Elem struct {
	Line       int
	Start, End int32
}

// Elem returns the text of e as written, folds included.
func (m *Message) Elem(e Elem) string { return m.Raw[e.Start:e.End] }

// Elems ranges over the comma-separated values of all lines of h, in order;
// commas inside quotes and angle brackets do not count, empty values are left
// out. Not for challenges, credentials and dates, which have commas of their own.
func (m *Message) Elems(h Header) iter.Seq[Elem] {
	return func(yield func(Elem) bool) {
		m.eachElem(h, yield)
	}
}

func (m *Message) eachElem(h Header, yield func(Elem) bool) {
	for n := m.firstLine(h); n < len(m.Lines); n = m.nextLine(h, n) {
		l := m.Lines[n]
		v := m.Raw[l.ValueStart:l.ValueEnd]
		for i := 0; i < len(v); {
			start, end, next := nextElem(v, i)
			if start < end && !yield(Elem{n, l.ValueStart + int32(start), l.ValueStart + int32(end)}) {
				return
			}
			i = next
		}
	}
}

// nextElem returns the span of the value of list s that starts at i, without
// blanks, and the offset past its comma.
func nextElem(s string, i int) (start, end, next int) {
	j := i
	if strings.IndexByte(s[i:], ',') < 0 {
		j = len(s)
	}
	for j < len(s) {
		if j = special(s, j, ','); j >= len(s) || s[j] == ',' {
			break
		}
		if s[j] == '"' {
			j = quotedEnd(s, j)
		} else if gt := strings.IndexByte(s[j:], '>'); gt >= 0 {
			j += gt
		} else {
			j++
		}
	}
	j = min(j, len(s))
	start, end = trim(s, i, j)
	return start, end, j + 1
}

// HasToken tells whether the lists of h hold tag, compared without case.
func (m *Message) HasToken(h Header, tag string) bool {
	for e := range m.Elems(h) {
		if EqualFold(m.Elem(e), tag) {
			return true
		}
	}
	return false
}
