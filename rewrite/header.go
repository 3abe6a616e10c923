package rewrite

import (
	"strconv"

	"pinhole/internal/message"
)

// MaxForwards counts the request's Max-Forwards down by one and adds 70 where
// there is none or more than 255 (RFC 3261 §16.6-3). It returns false, and edits
// nothing, where it is used up.
func MaxForwards(m *message.Message, e *message.Edits) bool {
	l, ok := m.First(message.MaxForwards)
	if !ok {
		e.Insert(afterVias(m), "Max-Forwards: 70\r\n")
		return true
	}
	n, ok := message.ParseUint(m.Value(l), 255)
	switch {
	case !ok:
		e.Replace(l.ValueStart, l.ValueEnd, "70")
	case n == 0:
		return false
	default:
		e.Replace(l.ValueStart, l.ValueEnd, strconv.FormatUint(n-1, 10))
	}
	return true
}

// SetValue replaces the value of the first header h, or adds the header.
func SetValue(m *message.Message, e *message.Edits, h message.Header, value string) {
	if l, ok := m.First(h); ok {
		e.Replace(l.ValueStart, l.ValueEnd, value)
		return
	}
	e.Insert(afterVias(m), h.String(), ": ", value, "\r\n")
}

// CSeqNumber replaces the number of CSeq and leaves the method as it came.
func CSeqNumber(m *message.Message, e *message.Edits, n uint32) {
	l, ok := m.First(message.CSeq)
	if !ok {
		return
	}
	v := m.Value(l)
	end := 0
	for end < len(v) && v[end] >= '0' && v[end] <= '9' {
		end++
	}
	e.Replace(l.ValueStart, l.ValueStart+int32(end), strconv.FormatUint(uint64(n), 10))
}

// RemoveTag deletes one option tag from the lists of header h, and the header
// with its last one; not from a line that another edit has changed.
func RemoveTag(m *message.Message, e *message.Edits, h message.Header, tag string) {
	for el := range m.Elems(h) {
		if message.EqualFold(m.Elem(el), tag) && !e.Touches(m.Lines[el.Line]) {
			e.DeleteElem(m, el)
		}
	}
}

// RemoveAll deletes every line of header h.
func RemoveAll(m *message.Message, e *message.Edits, h message.Header) {
	for l := range m.Each(h) {
		e.DeleteLine(m, l)
	}
}

// RequestURI replaces the Request-URI.
func RequestURI(m *message.Message, e *message.Edits, uri string) {
	start := int32(len(m.Method)) + 1
	e.Replace(start, start+int32(len(m.URI)), uri)
}

// Tag returns the tag of From or To, "" where it has none.
func Tag(m *message.Message, h message.Header) string {
	na, err := message.ParseNameAddr(m.Get(h))
	if err != nil {
		return ""
	}
	tag, _ := message.Param(na.Params, "tag")
	return tag
}

// HeaderURI returns the URI of a header that holds one name-addr (From, To,
// Refer-To, P-Called-Party-ID …), and false where it has none that can be read.
func HeaderURI(m *message.Message, h message.Header) (message.URI, bool) {
	l, ok := m.First(h)
	if !ok {
		return message.URI{}, false
	}
	na, err := message.ParseNameAddr(m.Value(l))
	if err != nil {
		return message.URI{}, false
	}
	uri, err := message.ParseURI(na.URI)
	return uri, err == nil
}
