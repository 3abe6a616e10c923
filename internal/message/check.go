package message

import "strings"

// singletons are the headers that may come only once, and that somebody on the
// way decides by (RFC 4475 §3.3.8).
const singletons = 1<<From | 1<<To | 1<<CallID | 1<<CSeq | 1<<MaxForwards | 1<<MaxBreadth |
	1<<ContentLength | 1<<ContentType | 1<<Expires | 1<<MinExpires | 1<<Event | 1<<SubscriptionState |
	1<<RAck | 1<<RSeq | 1<<ReferTo | 1<<ReferredBy | 1<<Replaces | 1<<Join | 1<<TargetDialog |
	1<<SessionExpires | 1<<MinSE

// needed are the headers every message has.
const needed = 1<<Via | 1<<From | 1<<To | 1<<CallID | 1<<CSeq

// requestLine reads "METHOD URI SIP/2.0": one space each, nothing after it
// (RFC 3261 §7.1).
func (p *parser) requestLine(line string) {
	m := p.m
	sp := strings.IndexByte(line, ' ')
	if sp < 0 {
		p.fail(400, "Bad Request Line")
		return
	}
	m.Method = line[:sp]
	rest := line[sp+1:]
	if sp = strings.IndexByte(rest, ' '); sp < 0 || !isToken(m.Method) {
		p.fail(400, "Bad Request Line")
		return
	}
	m.URI = rest[:sp]
	if version := rest[sp+1:]; version != "SIP/2.0" && !EqualFold(version, "SIP/2.0") {
		if isVersion(version) {
			p.fail(505, "Version Not Supported")
		} else {
			p.fail(400, "Bad Request Line")
		}
		return
	}
	var u URI
	if u.read(m.URI) != "" || u.Headers != "" {
		p.fail(400, "Bad Request-URI")
	}
}

// isVersion tells whether s is "SIP/" and two numbers.
func isVersion(s string) bool {
	if len(s) < 4 || !EqualFold(s[:4], "SIP/") {
		return false
	}
	major, minor, ok := strings.Cut(s[4:], ".")
	_, ok1 := ParseUint(major, 1<<31)
	_, ok2 := ParseUint(minor, 1<<31)
	return ok && ok1 && ok2
}

// statusLine reads "SIP/2.0 200 OK"; the reason may be empty (RFC 3261 §7.2).
func (p *parser) statusLine(line string) {
	m := p.m
	const version = "SIP/2.0 "
	if len(line) < len(version)+3 || !EqualFold(line[:len(version)], version) {
		p.fail(0, "Bad Status Line")
		return
	}
	line = line[len(version):]
	n, ok := ParseUint(line[:3], 699)
	if !ok || n < 100 || len(line) > 3 && line[3] != ' ' {
		p.fail(0, "Bad Status Line")
		return
	}
	m.Status = int(n)
	if len(line) > 4 {
		m.Reason = line[4:]
	}
}

// check looks at the headers that a proxy needs, as far as it needs them.
func (p *parser) check() {
	m := p.m
	if missing := needed &^ m.seen; missing != 0 {
		p.headers(missing, "Missing ")
	}
	if twice := m.twice & singletons; twice != 0 {
		p.headers(twice, "Duplicate ")
	}
	if p.bad.Reason != "" {
		p.cseq()
		return
	}
	p.vias()
	p.addresses()
	p.cseq()
	if id := m.Get(CallID); id == "" || !visible(id) {
		p.fail(400, "Bad Call-ID")
	}
	if !p.request {
		return
	}
	if m.first[MaxForwards] != 0 && !isNumber(m.Get(MaxForwards)) {
		p.fail(400, "Bad Max-Forwards")
	}
	if m.first[Route] != 0 {
		p.routes()
	}
	if m.first[Contact] != 0 {
		p.contacts()
	}
}

// headers fails because of the first header of set.
func (p *parser) headers(set uint64, what string) {
	for h := Via; h < numHeaders; h++ {
		if set&(1<<h) != 0 {
			p.fail(400, what+h.String())
			return
		}
	}
}

// isNumber tells whether s is decimal digits, of whatever size.
func isNumber(s string) bool { return s != "" && digitsEnd(s, 0) == len(s) }

// cseq reads CSeq; in a request its method must be the request's.
func (p *parser) cseq() {
	m := p.m
	v := m.Get(CSeq)
	i := digitsEnd(v, 0)
	n, ok := ParseUint(v[:i], 1<<32-1)
	method := v[skipBlanks(v, i):]
	if !ok || len(v) == i+len(method) || !isToken(method) {
		p.fail(400, "Bad CSeq")
		return
	}
	m.cseq, m.cseqMethod = uint32(n), method
	if p.request && method != m.Method {
		p.fail(400, "CSeq Method Mismatch")
	}
}

// vias checks the topmost Via, and that there are not too many.
func (p *parser) vias() {
	m := p.m
	count := 0
	for n := m.firstLine(Via); n < len(m.Lines); n = m.nextLine(Via, n) {
		v := m.Value(m.Lines[n])
		for i := 0; i < len(v); {
			start, end, next := nextElem(v, i)
			if i = next; start == end {
				continue
			}
			if count++; count == 1 {
				p.topVia(v[start:end])
			}
		}
	}
	switch {
	case count == 0:
		p.fail(400, "Bad Via")
	case count > MaxVias:
		p.fail(400, "Too Many Vias")
	}
}

// topVia checks the topmost Via: that of the sender. A branch that is the
// magic cookie alone could not tell transactions apart (RFC 4475 §3.2.1).
func (p *parser) topVia(s string) {
	var v ViaValue
	if v.read(s) != "" {
		p.fail(400, "Bad Via")
		return
	}
	for i := 0; i < len(v.Params); {
		ns, ne, vs, ve, end := scanParam(v.Params, i)
		if ns == ne {
			p.fail(400, "Bad Via")
		}
		if ne-ns == len("branch") && ve-vs == len("z9hG4bK") &&
			EqualFold(v.Params[ns:ne], "branch") && EqualFold(v.Params[vs:ve], "z9hG4bK") {
			p.fail(400, "Bad Via Branch")
		}
		i = end
	}
}

// addresses checks From and To: one value each.
func (p *parser) addresses() {
	if !isAddress(p.m.Get(From)) {
		p.fail(400, "Bad From")
	}
	if !isAddress(p.m.Get(To)) {
		p.fail(400, "Bad To")
	}
}

func isAddress(v string) bool {
	var a NameAddr
	_, _, next := nextElem(v, 0)
	return a.read(v) == "" && a.URI != "*" && next > len(v)
}

// routes checks that Route values are in angle brackets and not too many.
func (p *parser) routes() {
	count := 0
	for e := range p.m.Elems(Route) {
		count++
		var a NameAddr
		if a.read(p.m.Elem(e)) != "" || !a.Angle {
			p.fail(400, "Bad Route")
		}
	}
	if count > MaxRoutes {
		p.fail(400, "Too Many Routes")
	}
}

// contacts counts the Contacts, and checks those of a REGISTER: we rewrite
// them. "*" stands alone and with Expires 0 (RFC 3261 §10.3 step 6).
func (p *parser) contacts() {
	m := p.m
	count, star := 0, false
	if m.Method == "REGISTER" {
		for n := m.firstLine(Contact); n < len(m.Lines); n = m.nextLine(Contact, n) {
			v := m.Value(m.Lines[n])
			c, ok := bindings(v)
			if !ok {
				p.fail(400, "Bad Contact")
			}
			count += c
			star = star || v == "*"
		}
	} else {
		for range m.Elems(Contact) {
			count++
		}
	}
	if star {
		if n, ok := ParseUint(m.Get(Expires), 1<<32-1); count > 1 || !ok || n != 0 {
			p.fail(400, "Bad Contact")
		}
	}
	if count > MaxContacts {
		p.fail(400, "Too Many Contacts")
	}
}

// bindings checks the Contact values v of a REGISTER and counts them.
func bindings(v string) (count int, ok bool) {
	if v == "*" {
		return 1, true
	}
	var a NameAddr
	var u URI
	for i := 0; i < len(v); i++ {
		next, bad := a.head(v, i)
		if bad != "" || !a.Angle && strings.IndexByte(a.URI, '?') >= 0 || u.read(a.URI) != "" {
			return count, false
		}
		if i, ok = valueParams(v, next); !ok {
			return count, false
		}
		count++
	}
	return count, count > 0
}

// valueParams checks the parameters that start at s[i], none of them empty,
// and returns the offset of the comma after them or the end of s.
func valueParams(s string, i int) (end int, ok bool) {
	for i < len(s) && s[i] == ';' {
		start := skipBlanks(s, i+1)
		i = special(s, start, ';')
		for i < len(s) && s[i] == '"' {
			if i = quotedEnd(s, i); i > len(s) {
				return i, false
			}
			i = special(s, i, ';')
		}
		if i == start || s[start] == '=' {
			return i, false
		}
	}
	return i, i >= len(s) || s[i] == ',' && skipBlanks(s, i+1) < len(s)
}
