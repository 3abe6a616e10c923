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
	if version := rest[sp+1:]; !EqualFold(version, "SIP/2.0") {
		if isVersion(version) {
			p.fail(505, "Version Not Supported")
		} else {
			p.fail(400, "Bad Request Line")
		}
		return
	}
	if u, err := ParseURI(m.URI); err != nil || u.Headers != "" {
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
	if twice := p.dup & singletons; twice != 0 {
		p.headers(twice, "Duplicate ")
	}
	if p.bad.Reason != "" {
		p.cseq()
		return
	}
	p.vias()
	p.addresses()
	p.cseq()
	if m.Get(CallID) == "" || !none(m.Get(CallID), classBlank) {
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
func isNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return s != ""
}

// cseq reads CSeq; in a request its method must be the request's.
func (p *parser) cseq() {
	m := p.m
	v := m.Get(CSeq)
	i := 0
	for i < len(v) && v[i]-'0' <= 9 {
		i++
	}
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

// vias checks the topmost Via, and that there are not too many. A branch that
// is the magic cookie alone could not tell transactions apart (RFC 4475 §3.2.1).
func (p *parser) vias() {
	m := p.m
	count := 0
	for e := range m.Elems(Via) {
		if count++; count > 1 {
			continue
		}
		v, err := ParseVia(m.Elem(e))
		if err != nil || !fullParams(v.Params) {
			p.fail(400, "Bad Via")
		}
		if b, _ := Param(v.Params, "branch"); EqualFold(b, "z9hG4bK") {
			p.fail(400, "Bad Via Branch")
		}
	}
	switch {
	case count == 0:
		p.fail(400, "Bad Via")
	case count > MaxVias:
		p.fail(400, "Too Many Vias")
	}
}

// fullParams tells whether no parameter of the list is empty.
func fullParams(params string) bool {
	for i := 0; i < len(params); {
		q := scanParam(params, i)
		if q.nameStart == q.nameEnd {
			return false
		}
		i = q.end
	}
	return true
}

// addresses checks From and To.
func (p *parser) addresses() {
	if a, err := ParseNameAddr(p.m.Get(From)); err != nil || a.URI == "*" {
		p.fail(400, "Bad From")
	}
	if a, err := ParseNameAddr(p.m.Get(To)); err != nil || a.URI == "*" {
		p.fail(400, "Bad To")
	}
}

// routes checks that Route values are in angle brackets and not too many.
func (p *parser) routes() {
	count := 0
	for e := range p.m.Elems(Route) {
		count++
		if a, err := ParseNameAddr(p.m.Elem(e)); err != nil || !a.Angle {
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
	for e := range m.Elems(Contact) {
		count++
		if m.Method != "REGISTER" {
			continue
		}
		a, err := ParseNameAddr(m.Elem(e))
		if err != nil || !fullParams(a.Params) {
			p.fail(400, "Bad Contact")
			continue
		}
		if a.URI == "*" {
			star = true
		} else if _, err = ParseURI(a.URI); err != nil {
			p.fail(400, "Bad Contact")
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
