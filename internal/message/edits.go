package message

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// Edits is a list of splices over the headers of one Message, and perhaps a
// new body; Reset makes it ready for the next. The order in which edits are
// given does not matter, but at one place insertions keep theirs and come
// before a replacement that starts there.
//
// A programming error makes Append panic: edits that overlap (an insertion
// inside what is replaced too), that reach into the empty line or the body, or
// a message that Parse found broken.
//
// The zero value is ready. Not safe for concurrent use.
type Edits struct {
	list    []edit
	elems   []Elem
	text    []byte // what the edits put in, one after the other
	body    []byte // the new body
	hasBody bool
}

// An edit puts text[at:to] in the place of [start, end).
type edit struct{ start, end, at, to int32 }

// Reset forgets all edits and keeps the memory.
func (e *Edits) Reset() {
	e.list, e.elems, e.text, e.body, e.hasBody = e.list[:0], e.elems[:0], e.text[:0], e.body[:0], false
}

// Replace puts parts, one after the other, in the place of [start, end).
func (e *Edits) Replace(start, end int32, parts ...string) {
	text := e.text
	at := int32(len(text))
	for _, s := range parts {
		text = append(text, s...)
	}
	e.text = text
	e.list = append(e.list, edit{start, end, at, int32(len(text))})
}

// Insert puts parts before the octet at; several at one place keep their order.
func (e *Edits) Insert(at int32, parts ...string) { e.Replace(at, at, parts...) }

// Delete takes [start, end) out.
func (e *Edits) Delete(start, end int32) { e.Replace(start, end) }

// DeleteLine takes a header line out.
func (e *Edits) DeleteLine(_ *Message, l Line) { e.Delete(l.Start, l.End) }

// DeleteElem takes one value of a list out with its comma, and the whole line
// when no value of it stays.
func (e *Edits) DeleteElem(_ *Message, el Elem) { e.elems = append(e.elems, el) }

// Touches reports whether an edit so far changes anything of a line.
func (e *Edits) Touches(l Line) bool {
	for _, x := range e.list {
		if x.start < l.End && l.Start < x.end {
			return true
		}
	}
	for _, el := range e.elems {
		if el.Start < l.End && l.Start < el.End {
			return true
		}
	}
	return false
}

// SetBody replaces the body. Content-Length is Append's business: it is not to
// be edited.
func (e *Edits) SetBody(_ *Message, body string) {
	e.body, e.hasBody = append(e.body[:0], body...), true
}

// Append appends m with the edits to dst, which may be nil, and returns it.
// There is exactly one Content-Length in it: the one there was, corrected
// after SetBody, or a new last header line where there was none (a datagram
// needs none, a stream does). Reset has to be called before e is used again.
func (e *Edits) Append(dst []byte, m *Message) []byte {
	if len(e.elems) > 0 {
		e.cutElems(m)
	}
	e.setLength(m)
	e.sort()
	size, pos := len(m.Raw), int32(0)
	for i := range e.list {
		x := &e.list[i]
		if x.start < pos || x.end < x.start || int(x.end) > m.BodyStart-2 {
			panic(fmt.Sprintf("message: edit [%d, %d) overlaps what ends at %d or leaves the headers, which end at %d",
				x.start, x.end, pos, m.BodyStart-2))
		}
		pos = x.end
		size += int(x.to-x.at) - int(x.end-x.start)
	}
	if e.hasBody {
		size += len(e.body) - len(m.Body())
	}
	n := len(dst)
	dst = slices.Grow(dst, size)[:n+size]
	pos = 0
	for i := range e.list {
		x := &e.list[i]
		n += copy(dst[n:], m.Raw[pos:x.start])
		n += copy(dst[n:], e.text[x.at:x.to])
		pos = x.end
	}
	if !e.hasBody {
		copy(dst[n:], m.Raw[pos:])
		return dst
	}
	n += copy(dst[n:], m.Raw[pos:m.BodyStart])
	copy(dst[n:], e.body)
	return dst
}

// sort puts the edits in the order of their places, insertions first. There
// are few, mostly in order already.
func (e *Edits) sort() {
	for i := 1; i < len(e.list); i++ {
		x := e.list[i]
		j := i
		for ; j > 0; j-- {
			y := e.list[j-1]
			if y.start < x.start || y.start == x.start && (y.start == y.end || x.start != x.end) {
				break
			}
			e.list[j] = y
		}
		e.list[j] = x
	}
}

// setLength sees to the one Content-Length.
func (e *Edits) setLength(m *Message) {
	size := len(m.Raw) - m.BodyStart
	if e.hasBody {
		size = len(e.body)
	}
	l, ok := m.First(ContentLength)
	switch {
	case !ok:
		e.Insert(int32(m.BodyStart)-2, "Content-Length: ", strconv.Itoa(size), "\r\n")
	case e.hasBody:
		e.Replace(l.ValueStart, l.ValueEnd, strconv.Itoa(size))
	}
}

// cutElems turns the values to delete into splices, a line at a time.
func (e *Edits) cutElems(m *Message) {
	slices.SortFunc(e.elems, func(a, b Elem) int { return cmp.Compare(a.Start, b.Start) })
	for i := 0; i < len(e.elems); {
		j := i + 1
		for j < len(e.elems) && e.elems[j].Line == e.elems[i].Line {
			j++
		}
		e.cutLine(m, e.elems[i:j])
		i = j
	}
	e.elems = e.elems[:0]
}

// cutLine takes cut, values of one line in order, out of it. Values before the
// first that stays go with the comma after them, the others with the one before.
func (e *Edits) cutLine(m *Message, cut []Elem) {
	l := m.Lines[cut[0].Line]
	v := m.Value(l)
	mark := len(e.list)
	kept, lead, last := false, int32(-1), l.ValueStart
	for i := 0; i < len(v); {
		s, t, next := nextElem(v, i)
		i = next
		if s == t {
			continue
		}
		start, end := l.ValueStart+int32(s), l.ValueStart+int32(t)
		switch {
		case len(cut) == 0 || cut[0].Start != start:
			if lead >= 0 {
				e.Delete(lead, start)
				lead = -1
			}
			kept = true
		case kept:
			e.Delete(last, end)
			cut = cut[1:]
		default:
			if lead < 0 {
				lead = start
			}
			cut = cut[1:]
		}
		last = end
	}
	if len(cut) > 0 {
		panic(fmt.Sprintf("message: no value at %d to delete, or deleted twice", cut[0].Start))
	}
	if !kept {
		e.list = e.list[:mark]
		e.DeleteLine(m, l)
	}
}
