//go:build lab

package lab

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Message is a SIP message as text. The lab reads SIP with its own few lines,
// so that it cannot share a mistake with the code it judges.
type Message struct {
	Raw   string
	First string   // the start line
	Lines []string // header lines, unfolded
	Body  string
}

// compactForms are the short names that phones use.
var compactForms = map[string]string{
	"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact",
	"l": "content-length", "c": "content-type", "s": "subject", "k": "supported",
}

// parseMessage reads a whole message.
func parseMessage(raw string) (*Message, error) {
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		return nil, fmt.Errorf("reading a message: no empty line in %.200q", raw)
	}
	for _, fold := range []string{"\r\n ", "\r\n\t"} {
		head = strings.ReplaceAll(head, fold, " ")
	}
	lines := strings.Split(head, "\r\n")
	m := &Message{Raw: raw, First: lines[0], Lines: lines[1:], Body: body}
	if !strings.HasPrefix(m.First, "SIP/2.0 ") && !strings.HasSuffix(strings.ToUpper(m.First), " SIP/2.0") {
		return nil, fmt.Errorf("reading a message: start line %.200q", m.First)
	}
	return m, nil
}

// readMessage reads the next message of a stream; keep-alives before it are
// skipped.
func readMessage(r *bufio.Reader) (string, error) {
	var b strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return b.String(), err
		}
		if b.Len() == 0 && line == "\r\n" {
			continue
		}
		b.WriteString(line)
		if line == "\r\n" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		if n := strings.ToLower(strings.TrimSpace(name)); n == "content-length" || n == "l" {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return b.String(), err
			}
		}
	}
	_, err := io.CopyN(&b, r, int64(length))
	return b.String(), err
}

// All returns the values of a header, by its long name in lower case, in order.
func (m *Message) All(name string) []string {
	var out []string
	for _, line := range m.Lines {
		n, v, _ := strings.Cut(line, ":")
		n = strings.ToLower(strings.TrimSpace(n))
		if long := compactForms[n]; long != "" {
			n = long
		}
		if n == name {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

// Get returns the first value of a header, "" if it has none.
func (m *Message) Get(name string) string {
	if all := m.All(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Status is a response's code, 0 in a request.
func (m *Message) Status() int {
	rest, ok := strings.CutPrefix(m.First, "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return 0
	}
	n, _ := strconv.Atoi(rest[:3])
	return n
}

// Method is a request's method; a response's is that of its CSeq.
func (m *Message) Method() string {
	if m.Status() == 0 {
		method, _, _ := strings.Cut(m.First, " ")
		return method
	}
	_, method, _ := strings.Cut(m.Get("cseq"), " ")
	return strings.TrimSpace(method)
}

// Branch is the top Via's.
func (m *Message) Branch() string {
	top, _, _ := strings.Cut(m.Get("via"), ",")
	return param(top, "branch")
}

// param returns a parameter of a header value or URI, "" if it has none.
func param(value, name string) string {
	for _, p := range strings.Split(value, ";")[1:] {
		n, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.Trim(strings.TrimSpace(v), "<>")
		}
	}
	return ""
}
