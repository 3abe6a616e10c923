//go:build lab

package lab

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// stranger is somebody on the internet who is not the provider.
var stranger = netip.MustParseAddr("198.51.100.66")

// stunCookie is in every STUN message (RFC 8489 §5), and hides addresses in it.
const stunCookie = 0x2112a442

// A Leak is an address of the LAN that was seen outside.
type Leak struct {
	Where string // the packet or message
	Form  string // how it was written
	Text  string // with its surroundings
}

// A scanner finds the addresses of one IPv4 /24 however they are written.
type scanner struct {
	forms map[string]*regexp.Regexp
	raw   []byte // the network in network order
}

func newScanner(lan netip.Prefix) scanner {
	b := lan.Masked().Addr().As4()
	number := func(sep string) string {
		return fmt.Sprintf(`\b%d%s%d%s%d%s\d{1,3}\b`, b[0], sep, b[1], sep, b[2], sep)
	}
	return scanner{raw: b[:3], forms: map[string]*regexp.Regexp{
		"dotted":      regexp.MustCompile(number(`\.`)),
		"with dashes": regexp.MustCompile(number(`[-_]`)),
		"hexadecimal": regexp.MustCompile(fmt.Sprintf(`(?i)\b(0x)?%02x%02x%02x[0-9a-f]{2}\b`, b[0], b[1], b[2])),
		"in IPv6":     regexp.MustCompile(fmt.Sprintf(`(?i):%02x%02x:0?%x[0-9a-f]{2}\b`, b[0], b[1], b[2])),
	}}
}

// scan looks through one payload.
func (s scanner) scan(where string, payload []byte) []Leak {
	if len(payload) >= 20 && binary.BigEndian.Uint32(payload[4:]) == stunCookie {
		return s.scanSTUN(where, payload)
	}
	if len(payload) > 0 && payload[0]>>6 == 2 {
		return nil // RTP: sound is what it is
	}
	var out []Leak
	text := unescape(payload)
	for form, re := range s.forms {
		for _, at := range re.FindAllStringIndex(text, -1) {
			around := text[max(0, at[0]-30):min(len(text), at[1]+30)]
			out = append(out, Leak{where, form, around})
		}
	}
	return out
}

// scanSTUN looks for the bare bytes and for those that XOR-… attributes hide.
func (s scanner) scanSTUN(where string, payload []byte) []Leak {
	var out []Leak
	hidden := binary.BigEndian.AppendUint32(nil, stunCookie)
	for i, b := range s.raw {
		hidden[i] ^= b
	}
	for form, pattern := range map[string][]byte{"binary": s.raw, "XORed": hidden[:len(s.raw)]} {
		if at := bytes.Index(payload[20:], pattern); at >= 0 {
			out = append(out, Leak{where, form, fmt.Sprintf("%x", payload)})
		}
	}
	return out
}

// unescape undoes %XX (RFC 3986 §2.1), repeatedly escaped ones too.
func unescape(b []byte) string {
	for {
		var out []byte
		for i := 0; i < len(b); i++ {
			if b[i] == '%' && i+2 < len(b) {
				if v, err := strconv.ParseUint(string(b[i+1:i+3]), 16, 8); err == nil {
					out = append(out, byte(v))
					i += 2
					continue
				}
			}
			out = append(out, b[i])
		}
		if len(out) == len(b) {
			return string(out)
		}
		b = out
	}
}

// Leaks scans all that passed on the router's WAN side, and what came to the
// provider after decryption. It is an error if one of the methods was not seen
// at the provider: a capture that missed something proves nothing.
func (c *Cell) Leaks(p *Provider, methods ...string) ([]Leak, error) {
	s := newScanner(lanPrefix)
	var out []Leak
	for _, pkt := range c.WAN.Packets() {
		if pkt.Src.Addr() == stranger {
			continue // who knows our LAN already
		}
		out = append(out, s.scan(fmt.Sprintf("%v > %v", pkt.Src, pkt.Dst), pkt.Payload)...)
	}
	all, err := p.Trace()
	if err != nil {
		return nil, err
	}
	var held []string
	for _, m := range all {
		if m.Sent || !strings.HasPrefix(m.Src, routerWAN.String()+":") {
			continue
		}
		held = append(held, m.Method())
		out = append(out, s.scan(fmt.Sprintf("%s %s > provider: %s", m.Proto, m.Src, m.First), []byte(m.Raw))...)
	}
	for _, want := range methods {
		if !slices.Contains(held, want) {
			return nil, fmt.Errorf("scanning for leaks: no %s passed, only %v", want, held)
		}
	}
	return out, nil
}

// messagesOf cuts what passed on an unencrypted SIP port into messages.
func messagesOf(packets []Packet) ([]*Message, error) {
	var out []*Message
	for _, pkt := range packets {
		if pkt.Src.Port() != 5060 && pkt.Dst.Port() != 5060 {
			continue
		}
		r := bufio.NewReader(bytes.NewReader(pkt.Payload))
		for {
			raw, err := readMessage(r)
			if err != nil {
				break // the end, or a keep-alive
			}
			m, err := parseMessage(raw)
			if err != nil {
				return out, err
			}
			out = append(out, m)
		}
	}
	return out, nil
}
