package message

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// pick returns one of what it is given.
func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// A field is a header as it was generated.
type field struct {
	id          Header
	name, value string
}

// A generator makes well-formed messages in all the shapes the grammar allows,
// and knows what is in them.
type generator struct {
	*rand.Rand
	fields []field
	body   string
	length bool // there is a Content-Length
}

// message returns a whole message for a datagram.
func (g *generator) message() string {
	g.fields, g.body, g.length = nil, "", true
	method := pick(g.Rand, "INVITE", "REGISTER", "OPTIONS", "BYE", "MESSAGE", "NEW-METHOD.1")
	start := method + " " + pick(g.Rand, "sip:b@example.com", "sips:[2001:db8::1]:5061;lr", "tel:+4930", "sip:a;b=c@h;x?y@h") + " SIP/2.0"
	if strings.Contains(start, "?y@h") {
		start = method + " sip:a?b@h SIP/2.0"
	}
	if g.IntN(3) == 0 {
		start = fmt.Sprintf("SIP/2.0 %d %s", 100+g.IntN(600), pick(g.Rand, "", "OK", "Two  words", "ü\"<;,"))
	}
	g.required(method)
	for range g.IntN(12) {
		g.optional()
	}
	if g.IntN(3) > 0 {
		b := make([]byte, g.IntN(300))
		for i := range b {
			b[i] = byte(g.IntN(256))
		}
		g.body = string(b)
	}
	if g.length = g.IntN(6) > 0; g.length {
		g.add(ContentLength, strings.Repeat("0", g.IntN(3))+fmt.Sprint(len(g.body)))
	}
	g.Shuffle(len(g.fields), func(i, j int) { g.fields[i], g.fields[j] = g.fields[j], g.fields[i] })
	out := start + "\r\n"
	for i := range g.fields {
		f := &g.fields[i]
		out += f.name + g.blanks() + ":" + g.blanks() + f.value + g.blanks() + "\r\n"
	}
	return out + "\r\n" + g.body
}

func (g *generator) required(method string) {
	for range 1 + g.IntN(3) {
		g.add(Via, g.list(1+g.IntN(2), func() string {
			return pick(g.Rand, "SIP/2.0/UDP", "SIP / 2.0"+g.blank()+"/ tcp", "sip/2.0/TLS") + g.blank() +
				pick(g.Rand, "h.example.com", "10.0.0.1:5060", "[2001:db8::1] : 5061", "x.invalid") + g.params("branch=z9hG4bKa", "rport", "received=[::1]")
		}))
	}
	g.add(From, g.address()+g.params("tag=1"))
	g.add(To, g.address()+g.params("tag = \"q;,\\\"\""))
	g.add(CallID, pick(g.Rand, "a@b", "1-2-3", "`~)(><:\\/\"][?}{@x"))
	g.add(CSeq, fmt.Sprint(g.Uint32())+g.blank()+method)
}

func (g *generator) optional() {
	switch g.IntN(7) {
	case 0:
		g.add(Route, g.list(1+g.IntN(3), func() string { return "<sip:" + pick(g.Rand, "p;lr", "q,r@s", "[::1]:5060") + ">" + g.params("x") }))
	case 1:
		g.add(Contact, g.list(1+g.IntN(3), func() string { return g.address() + g.params("q=0.5", "expires=60", "+sip.instance=\"<urn:uuid:1>\"") }))
	case 2:
		g.add(Supported, g.list(g.IntN(3), func() string { return pick(g.Rand, "path", "100rel", "timer") }))
	case 3:
		g.add(Authorization, `Digest username="a,b", realm="x\"y", nonce=`+pick(g.Rand, "1", `"";`))
	case 4:
		g.add(Warning, `399 h "`+pick(g.Rand, "a\\\x00b", "ü", "")+`"`)
	case 5:
		name := pick(g.Rand, "X-Unknown", "Z", "UserAgent", "Content-Lengths", "Vi", "!%*_+`'~.", "Accept-Language", strings.Repeat("Long-", 9)+"Name")
		g.fields = append(g.fields, field{Other, g.cased(name), pick(g.Rand, "", ";;,,;;,;", "a"+g.blank()+"b", "\x01\x02ü", `"open`)})
	default:
		g.add(UserAgent, "phone/1.0"+g.blank()+"(x)")
	}
}

// add adds a header under one of its names, in any case.
func (g *generator) add(h Header, value string) {
	forms := []string{h.String()}
	for c := byte('a'); c <= 'z'; c++ {
		if compactForm(c) == h {
			forms = append(forms, string(c))
		}
	}
	g.fields = append(g.fields, field{h, g.cased(pick(g.Rand, forms...)), value})
}

func (g *generator) cased(s string) string {
	switch g.IntN(4) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.ToLower(s)
	}
	return s
}

// blank returns at least one blank, maybe a fold; blanks maybe none.
func (g *generator) blank() string {
	return pick(g.Rand, " ", " ", " ", "  ", "\t", "\r\n ", " \r\n\t ")
}

func (g *generator) blanks() string {
	return pick(g.Rand, "", " ", " ", g.blank())
}

func (g *generator) address() string {
	uri := pick(g.Rand, "sip:a@b", "sips:h:5061", "sip:[::1]", "tel:+49")
	return pick(g.Rand, uri, "<"+uri+";x>", `"N, \"x\" <y>"`+g.blanks()+"<"+uri+">", "bob<"+uri+">", "Two Words "+"<"+uri+">")
}

func (g *generator) params(of ...string) string {
	s := ""
	for _, p := range of {
		if g.IntN(2) == 0 {
			s += g.blanks() + ";" + g.blanks() + p
		}
	}
	return s
}

func (g *generator) list(n int, value func() string) string {
	var all []string
	for range n {
		all = append(all, value())
	}
	return strings.Join(all, g.blanks()+","+g.blanks())
}
