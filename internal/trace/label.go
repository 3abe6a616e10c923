package trace

import (
	"strconv"
	"strings"
)

// A label is what is shown of a message.
type label struct {
	what    string // method, or status and reason
	target  string // Request-URI without a password, or the method answered
	cseq    string
	status  int
	proto   string
	sdp     bool
	creds   bool // the request answers a challenge
	again   bool
	isReply bool
}

// read takes from a message what is shown of it.
func read(raw string) label {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	var l label
	method := ""
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "cseq":
			if f := strings.Fields(value); len(f) == 2 {
				l.cseq, method = f[0], f[1]
			}
		case "authorization", "proxy-authorization":
			l.creds = true
		case "content-type", "c":
			l.sdp = strings.HasPrefix(strings.ToLower(value), "application/sdp")
		}
	}
	parts := strings.SplitN(lines[0], " ", 3)
	switch {
	case len(parts) < 2:
		l.what = "?"
	case strings.HasPrefix(parts[0], "SIP/"):
		l.isReply = true
		l.status, _ = strconv.Atoi(parts[1])
		l.what = strings.Join(parts[1:], " ")
		l.target = method
	default:
		l.what, l.target = parts[0], safeURI(parts[1])
	}
	l.what, l.target = printable(l.what), printable(l.target)
	return l
}

// safeURI cuts a password and header values, which may be credentials, out of a
// URI (RFC 3261 §19.1.1).
func safeURI(uri string) string {
	uri, _, _ = strings.Cut(uri, "?")
	scheme, rest, ok := strings.Cut(uri, ":")
	user, host, at := strings.Cut(rest, "@")
	if !ok || !at {
		return uri
	}
	user, _, _ = strings.Cut(user, ":")
	return scheme + ":" + user + "@" + host
}

// printable replaces what a terminal would act upon: a message is a stranger's.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// text writes the label in at most width runes. What does not fit is left out,
// the least telling part first; the Request-URI may be shortened.
func (l label) text(width int) string {
	what, reason := l.what, ""
	if l.isReply {
		what, reason, _ = strings.Cut(l.what, " ")
	}
	// The parts in the order in which they are written, and how much each tells.
	parts := []struct {
		text string
		rank int
	}{
		{reason, 1},
		{l.answered(), 6},
		{l.number(), 6},
		{word(l.creds, "auth"), 2},
		{word(l.sdp, "SDP"), 3},
		{word(l.again, "again"), 4},
		{l.proto, 7},
	}
	out := func(most int) string {
		s := what
		for i, p := range parts {
			switch {
			case p.text == "" || p.rank > most:
			case i == 0:
				s += " " + p.text
			default:
				s += " · " + p.text
			}
		}
		return s
	}
	most := 7
	for most > 0 && runes(out(most)) > width {
		most--
	}
	s := cut(out(most), width)
	if room := width - runes(s) - 1; !l.isReply && l.target != "" && room >= 8 {
		s = what + " " + cut(l.target, room) + strings.TrimPrefix(s, what)
	}
	return s
}

// answered is the method and number that a response answers.
func (l label) answered() string {
	if !l.isReply {
		return ""
	}
	return strings.TrimSpace(l.target + " " + l.cseq)
}

// number is a request's CSeq number.
func (l label) number() string { return word(!l.isReply, l.cseq) }

func word(on bool, s string) string {
	if !on {
		return ""
	}
	return s
}

func runes(s string) int { return len([]rune(s)) }

// cut shortens s to width runes, with an ellipsis where something went.
func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string(r[:width-1]) + "…"
}
