package rewrite

import (
	"net/netip"
	"strconv"
	"strings"

	"pinhole/internal/message"
)

// Via replaces all Via lines of m by one, our own; value is the whole header
// value. The lines taken out are the caller's to keep (ReceivedVias) and to give
// back in the responses (RestoreVias).
func Via(m *message.Message, e *message.Edits, value string) {
	first := true
	for l := range m.Each(message.Via) {
		if first {
			e.Replace(l.Start, l.End, "Via: ", value, "\r\n")
			first = false
			continue
		}
		e.DeleteLine(m, l)
	}
	if first && len(m.Lines) > 0 {
		e.Insert(m.Lines[0].Start, "Via: ", value, "\r\n")
	}
}

// ReceivedVias returns the Via lines of a request as they go into its
// responses: byte for byte, with received and rport set in the topmost element
// where RFC 3261 §18.2.1 and RFC 3581 §4 ask for them. from is the source of the
// request.
func ReceivedVias(m *message.Message, from netip.AddrPort) string {
	var b strings.Builder
	top := true
	for l := range m.Each(message.Via) {
		if !top {
			b.WriteString(m.Raw[l.Start:l.End])
			continue
		}
		top = false
		start, end := l.ValueStart, l.ValueEnd
		for el := range m.Elems(message.Via) {
			if el.Start < l.End { // a broken request may have an empty line first
				start, end = el.Start, el.End
			}
			break
		}
		b.WriteString(m.Raw[l.Start:start])
		b.WriteString(receivedVia(m.Raw[start:end], from))
		b.WriteString(m.Raw[end:l.End])
	}
	return b.String()
}

// receivedVia sets received and rport in one Via element.
func receivedVia(v string, from netip.AddrPort) string {
	via, err := message.ParseVia(v)
	if err != nil {
		return v
	}
	ip := from.Addr().Unmap()
	_, wantsPort := message.Param(via.Params, "rport")
	sentBy, errAddr := netip.ParseAddr(strings.Trim(via.Host, "[]"))
	if !wantsPort && errAddr == nil && sentBy.Unmap() == ip {
		return v
	}
	params := dropParam(via.Params, "received")
	if wantsPort {
		params = dropParam(params, "rport") + ";rport=" + strconv.Itoa(int(from.Port()))
	}
	return v[:via.ParamsStart] + params + ";received=" + ip.String()
}

// dropParam returns a parameter list without the parameter name.
func dropParam(params, name string) string {
	start, end, ok := message.ParamSpan(params, name)
	if !ok {
		return params
	}
	return params[:start] + params[end:]
}

// RestoreVias replaces all Via lines of a response by vias, which ReceivedVias
// made of the request that it answers.
func RestoreVias(m *message.Message, e *message.Edits, vias string) {
	first := true
	for l := range m.Each(message.Via) {
		if first {
			e.Replace(l.Start, l.End, vias)
			first = false
			continue
		}
		e.DeleteLine(m, l)
	}
}

// TopVia returns the topmost Via element, and false where there is none that
// can be read.
func TopVia(m *message.Message) (message.ViaValue, bool) {
	for el := range m.Elems(message.Via) {
		v, err := message.ParseVia(m.Elem(el))
		return v, err == nil
	}
	return message.ViaValue{}, false
}

// SeenFrom returns the tuple that the sender of a response saw us at: received
// and rport of its topmost Via (RFC 3581 §4). The address is invalid without
// received, the port 0 without rport.
func SeenFrom(m *message.Message) (netip.Addr, uint16) {
	via, ok := TopVia(m)
	if !ok {
		return netip.Addr{}, 0
	}
	received, _ := message.Param(via.Params, "received")
	ip, err := netip.ParseAddr(strings.Trim(received, "[]"))
	if err != nil {
		return netip.Addr{}, 0
	}
	rport, _ := message.Param(via.Params, "rport")
	port, _ := message.ParseUint(rport, 65535)
	return ip.Unmap(), uint16(port)
}
