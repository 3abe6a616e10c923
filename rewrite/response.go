package rewrite

import (
	"strconv"
	"strings"

	"pinhole/internal/message"
)

// Response returns a response of our own to a request (RFC 3261 §8.2.6): its
// Via lines as vias (ReceivedVias), From, To with toTag where it has none,
// Call-ID and CSeq as they came, further header lines, no body. What a broken
// request lacks is left out. headers are whole lines without line ends.
func Response(req *message.Message, vias string, status int, reason, toTag string, headers ...string) []byte {
	b := make([]byte, 0, len(vias)+len(reason)+512)
	b = append(b, "SIP/2.0 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, reason...)
	b = append(b, "\r\n"...)
	b = append(b, vias...)
	for _, h := range []message.Header{message.From, message.To, message.CallID, message.CSeq} {
		l, ok := req.First(h)
		if !ok {
			continue
		}
		b = append(b, req.Raw[l.Start:l.ValueEnd]...)
		if h == message.To && toTag != "" && Tag(req, message.To) == "" {
			b = append(b, ";tag="...)
			b = append(b, toTag...)
		}
		b = append(b, "\r\n"...)
	}
	for _, h := range headers {
		b = append(b, oneLine(h)...)
		b = append(b, "\r\n"...)
	}
	return append(b, "Content-Length: 0\r\n\r\n"...)
}

// oneLine keeps a value that we write from starting a header of its own.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
}
