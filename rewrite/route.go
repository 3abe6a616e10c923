package rewrite

import "pinhole/internal/message"

// PopRoute removes the topmost Route values as long as own says that they are
// ours (two in a row where we recorded two, RFC 5658 §5), and returns the first
// of them (RFC 3261 §16.4).
func PopRoute(m *message.Message, e *message.Edits, own func(message.URI) bool) (message.URI, bool) {
	var popped message.URI
	found := false
	for el := range m.Elems(message.Route) {
		uri, ok := elemURI(m, el)
		if !ok || !own(uri) {
			break
		}
		if !found {
			popped, found = uri, true
		}
		e.DeleteElem(m, el)
	}
	return popped, found
}

// RemoveRecordRoute takes our own Record-Route values out of a response on its
// way upstream: the provider reaches the phone by its alias alone.
func RemoveRecordRoute(m *message.Message, e *message.Edits, own func(message.URI) bool) {
	for el := range m.Elems(message.RecordRoute) {
		if uri, ok := elemURI(m, el); ok && own(uri) {
			e.DeleteElem(m, el)
		}
	}
}

// RecordRouteFirst puts value above all Record-Route values of a request to a
// phone (RFC 3261 §16.6-4).
func RecordRouteFirst(m *message.Message, e *message.Edits, value string) {
	if l, ok := m.First(message.RecordRoute); ok {
		e.Insert(l.Start, "Record-Route: ", value, "\r\n")
		return
	}
	e.Insert(afterVias(m), "Record-Route: ", value, "\r\n")
}

// RecordRouteLast puts value below all Record-Route values of a response to a
// phone: the caller reads them from the bottom, so we are its first hop.
func RecordRouteLast(m *message.Message, e *message.Edits, value string) {
	at := int32(-1)
	for l := range m.Each(message.RecordRoute) {
		at = l.End
	}
	if at < 0 {
		at = afterVias(m)
	}
	e.Insert(at, "Record-Route: ", value, "\r\n")
}

// afterVias returns the offset behind the last Via line.
func afterVias(m *message.Message) int32 {
	at := m.Lines[0].Start
	for l := range m.Each(message.Via) {
		at = l.End
	}
	return at
}

// elemURI parses the URI of one name-addr element.
func elemURI(m *message.Message, el message.Elem) (message.URI, bool) {
	na, err := message.ParseNameAddr(m.Elem(el))
	if err != nil {
		return message.URI{}, false
	}
	uri, err := message.ParseURI(na.URI)
	return uri, err == nil
}
