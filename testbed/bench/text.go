//go:build linux

package main

import (
	"strconv"
	"strings"
)

// The generator reads only messages that it wrote itself and a proxy passed on,
// so long header names, one blank after the colon and no folding are enough.

// field returns the value of the first header line of a name, "" if none.
func field(m, name string) string {
	_, rest, _ := strings.Cut(m, "\r\n"+name+": ")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// fields returns the values of all header lines of a name, in order.
func fields(m, name string) []string {
	var out []string
	head, _, _ := strings.Cut(m, "\r\n\r\n")
	for {
		_, rest, ok := strings.Cut(head, "\r\n"+name+": ")
		if !ok {
			return out
		}
		value, _, _ := strings.Cut(rest, "\r\n")
		out = append(out, value)
		head = rest
	}
}

// statusOf returns the status of a response, 0 of a request.
func statusOf(m string) int {
	rest, ok := strings.CutPrefix(m, "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return 0
	}
	n, _ := strconv.Atoi(rest[:3])
	return n
}

// startLine returns the method and the Request-URI of a request.
func startLine(m string) (method, uri string) {
	method, rest, _ := strings.Cut(m, " ")
	uri, _, _ = strings.Cut(rest, " ")
	return method, uri
}

// cseqOf returns the parts of the CSeq.
func cseqOf(m string) (n int, method string) {
	number, method, _ := strings.Cut(field(m, "CSeq"), " ")
	n, _ = strconv.Atoi(number)
	return n, method
}

// uriOf returns the URI between the angle brackets of a name-addr.
func uriOf(value string) string {
	_, rest, _ := strings.Cut(value, "<")
	uri, _, _ := strings.Cut(rest, ">")
	return uri
}

// userOf returns the user part of a sip URI.
func userOf(uri string) string {
	user, _, _ := strings.Cut(strings.TrimPrefix(uri, "sip:"), "@")
	return user
}

// hostOf returns host and port of a sip URI, as written.
func hostOf(uri string) string {
	_, host, _ := strings.Cut(uri, "@")
	host, _, _ = strings.Cut(host, ";")
	return host
}

// routes returns the Route lines of a caller whose INVITE was answered with m:
// the Record-Route values from the last to the first (RFC 3261 §12.1.2).
func routes(m string) string {
	var out string
	for _, line := range fields(m, "Record-Route") {
		for _, value := range strings.Split(line, ",") {
			out = "Route: " + strings.TrimSpace(value) + "\r\n" + out
		}
	}
	return out
}

// withTag adds a tag to a To value that has none.
func withTag(to, tag string) string {
	if strings.Contains(to, ";tag=") {
		return to
	}
	return to + ";tag=" + tag
}

// respond returns a response to a request that came from a host and port.
// extra are whole header lines; a body gets its Content-Type.
func respond(m, status, tag, from, extra, body string) string {
	var b strings.Builder
	b.Grow(len(m) + len(extra) + len(body) + 128)
	b.WriteString("SIP/2.0 " + status + "\r\n")
	for i, via := range fields(m, "Via") {
		if i == 0 {
			via = seen(via, from)
		}
		b.WriteString("Via: " + via + "\r\n")
	}
	for _, value := range fields(m, "Record-Route") {
		b.WriteString("Record-Route: " + value + "\r\n")
	}
	b.WriteString("From: " + field(m, "From") + "\r\nTo: " + withTag(field(m, "To"), tag) +
		"\r\nCall-ID: " + field(m, "Call-ID") + "\r\nCSeq: " + field(m, "CSeq") + "\r\n")
	b.WriteString(extra)
	finish(&b, body)
	return b.String()
}

// finish ends a header and adds the body.
func finish(b *strings.Builder, body string) {
	if body != "" {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// seen fills in where a request came from (RFC 3581 §4).
func seen(via, from string) string {
	host, port, _ := strings.Cut(from, ":")
	if head, tail, ok := strings.Cut(via, ";rport"); ok && !strings.HasPrefix(tail, "=") {
		return head + ";rport=" + port + ";received=" + host + tail
	}
	return via
}

// sdp returns a description of one audio stream of about the usual length.
func sdp(ip string) string {
	return "v=0\r\no=bench 2890844526 2890844526 IN IP4 " + ip + "\r\ns=-\r\nc=IN IP4 " + ip +
		"\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8 0 9 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n" +
		"a=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
}
