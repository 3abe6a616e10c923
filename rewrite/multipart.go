package rewrite

import "strings"

// Bounds of SDPPart: real bodies have 2 or 3 parts, a nested one is rare.
const (
	maxPartDepth = 2
	maxParts     = 32
)

// SDPPart finds the session description in the body of a SIP message: the
// whole body, or the first such part of a multipart/mixed, /alternative or
// /related, nested at most twice (RFC 5621 §3, RFC 2046 §5.1). It returns the
// offsets of its text in body. Not ok: no SDP, or one that nobody may or can
// edit: signed, encrypted, encoded (Content-Encoding, base64), sipfrag, or for
// early sessions (RFC 3959). An empty contentEncoding is identity.
func SDPPart(contentType, contentEncoding, body string) (start, end int, ok bool) {
	return sdpPart(contentType, contentEncoding, body, 0)
}

func sdpPart(contentType, contentEncoding, body string, depth int) (start, end int, ok bool) {
	if e := trimBlank(contentEncoding); e != "" && !strings.EqualFold(e, "identity") {
		return 0, 0, false
	}
	mediaType, params, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(trimBlank(mediaType)) {
	case "application/sdp":
		return 0, len(body), body != ""
	case "multipart/mixed", "multipart/alternative", "multipart/related":
		if b := boundary(params); b != "" && depth < maxPartDepth {
			return searchParts(b, body, depth)
		}
	}
	return 0, 0, false
}

// searchParts looks through the parts between the delimiter lines. What stands
// before the first and behind the last is not looked at.
func searchParts(boundary, body string, depth int) (start, end int, ok bool) {
	part := -1 // where the current part starts
	parts := 0
	for at := 0; at < len(body) && parts <= maxParts; {
		text, _, rest := cutLine(body[at:])
		next := len(body) - len(rest)
		if delimiter, last := isDelimiter(text, boundary); delimiter {
			if part >= 0 {
				if s, e, ok := searchPart(body[part:lineEndBefore(body, part, at)], depth); ok {
					return part + s, part + e, true
				}
			}
			if part = next; last {
				return 0, 0, false
			}
			parts++
		}
		at = next
	}
	if part < 0 || parts > maxParts {
		return 0, 0, false
	}
	// No closing delimiter: Content-Length ended the part.
	s, e, ok := searchPart(body[part:], depth)
	return part + s, part + e, ok
}

// searchPart looks into one part: header lines, a blank line, content.
func searchPart(part string, depth int) (start, end int, ok bool) {
	h, at := partHeader(part)
	switch strings.ToLower(h.transferEncoding) {
	case "", "7bit", "8bit", "binary":
	default:
		return 0, 0, false
	}
	disposition, _, _ := strings.Cut(h.disposition, ";")
	if d := trimBlank(disposition); d != "" && !strings.EqualFold(d, "session") {
		return 0, 0, false
	}
	start, end, ok = sdpPart(h.contentType, h.contentEncoding, part[at:], depth+1)
	return at + start, at + end, ok
}

// A partHead is what SDPPart must know of a part's header.
type partHead struct{ contentType, contentEncoding, transferEncoding, disposition string }

// partHeader reads a part's header lines, unfolded, and returns where its
// content starts.
func partHeader(part string) (h partHead, content int) {
	var value *string
	for content < len(part) {
		text, eol, _ := cutLine(part[content:])
		content += len(text) + len(eol)
		if text == "" {
			break
		}
		if text[0] == ' ' || text[0] == '\t' {
			if value != nil {
				*value += " " + trimBlank(text)
			}
			continue
		}
		name, v, _ := strings.Cut(text, ":")
		switch strings.ToLower(trimBlank(name)) {
		case "content-type", "c":
			value = &h.contentType
		case "content-encoding", "e":
			value = &h.contentEncoding
		case "content-transfer-encoding":
			value = &h.transferEncoding
		case "content-disposition":
			value = &h.disposition
		default:
			value = nil
		}
		if value != nil {
			*value = trimBlank(v)
		}
	}
	return h, content
}

// isDelimiter reports whether a line is --boundary or, last, --boundary--;
// blanks may follow.
func isDelimiter(line, boundary string) (delimiter, last bool) {
	rest, ok := strings.CutPrefix(line, "--")
	if !ok {
		return false, false
	}
	if rest, ok = strings.CutPrefix(rest, boundary); !ok {
		return false, false
	}
	rest, last = strings.CutPrefix(rest, "--")
	return trimBlank(rest) == "", last
}

// lineEndBefore returns where the line end before at starts, since it belongs
// to the delimiter, but not before from.
func lineEndBefore(s string, from, at int) int {
	if at > from && s[at-1] == '\n' {
		at--
	}
	if at > from && s[at-1] == '\r' {
		at--
	}
	return at
}

// boundary returns the boundary parameter of a multipart type, "" if it has
// none that is legal (RFC 2046 §5.1.1: 1 to 70 characters, no blank at the end).
func boundary(params string) string {
	for params != "" {
		var name, value string
		name, params, _ = strings.Cut(params, "=")
		value, params = paramValue(params)
		if strings.EqualFold(trimBlank(name), "boundary") {
			if len(value) > 70 || strings.HasSuffix(value, " ") || strings.ContainsAny(value, "\r\n") {
				return ""
			}
			return value
		}
	}
	return ""
}

// paramValue reads a token or quoted string and skips to behind the next ';'.
func paramValue(s string) (value, rest string) {
	s = strings.TrimLeft(s, " \t\r\n")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return trimBlank(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			_, rest, _ = strings.Cut(s[i+1:], ";")
			return b.String(), rest
		case '\\':
			if i++; i == len(s) {
				return "", ""
			}
		}
		b.WriteByte(s[i])
	}
	return "", ""
}

func trimBlank(s string) string { return strings.Trim(s, " \t\r\n") }
