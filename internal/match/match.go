// Package match finds the phones that an inbound request is for: the matching
// ladder, as a pure function that returns its decision log.
package match

import (
	"strings"

	"pinhole/internal/binding"
	"pinhole/internal/message"
	"pinhole/rewrite"
)

// A Query is what the ladder looks at: one request from one upstream.
type Query struct {
	Upstream string
	Request  *message.Message
	Aliases  map[string]string // numbers the provider dials → AOR user, from the configuration
}

// A Step is one line of the decision log.
type Step struct {
	Rule  string // the rule's name: "token in user", "AOR user" …
	Input string // what it looked for, "" where the request has no such thing
	Found int    // bindings found
}

// A Result is the set of bindings found, empty where no rule held, and every
// rule tried on the way, the deciding one last.
type Result struct {
	Bindings []*binding.Binding
	Steps    []Step
	Known    bool // a token or user is known, though none of its phones is registered now
}

// Log returns the decision log on one line.
func (r Result) Log() string {
	var b strings.Builder
	for i, s := range r.Steps {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s.Rule)
		if s.Input != "" {
			b.WriteString(" " + s.Input)
		}
		switch {
		case s.Found > 0:
			b.WriteString(": found")
		case s.Input == "":
			b.WriteString(": absent")
		default:
			b.WriteString(": none")
		}
	}
	return b.String()
}

// Find walks the ladder; the first rule that yields a binding decides. Hosts and
// ports are never compared: an ALG on the way rewrites them. A rule that names
// an AOR user yields all of that user's phones.
func Find(q Query, t *binding.Table) Result {
	w := walk{q: q, t: t}
	uri, err := message.ParseURI(q.Request.URI)
	if err == nil {
		user, param := rewrite.TokenOf(uri)
		if w.token("token in user", user) || w.token("token in parameter", param) {
			return w.Result
		}
		if w.user("AOR user", uri.User) {
			return w.Result
		}
	}
	for _, h := range []message.Header{message.PCalledPartyID, message.Diversion, message.To} {
		target, ok := rewrite.HeaderURI(q.Request, h)
		if !ok {
			continue
		}
		_, param := rewrite.TokenOf(target)
		if w.token("token in "+h.String(), param) || w.user(h.String()+" user", target.User) {
			return w.Result
		}
	}
	w.numbers(uri)
	return w.Result
}

type walk struct {
	Result
	q Query
	t *binding.Table
}

// took records a rule and reports whether it decides.
func (w *walk) took(rule, input string, found []*binding.Binding) bool {
	w.Steps = append(w.Steps, Step{Rule: rule, Input: input, Found: len(found)})
	w.Bindings = found
	return len(found) > 0
}

func (w *walk) token(rule, token string) bool {
	var found []*binding.Binding
	if b := w.t.ByToken(token); b != nil && b.Series.Upstream == w.q.Upstream {
		w.Known = true
		if b.Live {
			found = []*binding.Binding{b}
		}
	}
	return w.took(rule, token, found)
}

func (w *walk) user(rule, user string) bool {
	if user == "" {
		return w.took(rule, "", nil)
	}
	w.Known = w.Known || w.t.Knows(w.q.Upstream, user)
	return w.took(rule, user, w.t.ByUser(w.q.Upstream, user))
}

// numbers are the last rules: the alias map, what the provider taught us, and
// the only phone there is.
func (w *walk) numbers(uri message.URI) {
	dialled := []string{uri.User}
	for _, h := range []message.Header{message.PCalledPartyID, message.To} {
		if target, ok := rewrite.HeaderURI(w.q.Request, h); ok {
			dialled = append(dialled, target.User)
		}
	}
	for _, number := range dialled {
		user, ok := lookup(w.q.Aliases, number)
		if ok && w.took("alias map", number, w.t.ByUser(w.q.Upstream, user)) {
			return
		}
	}
	w.Steps = append(w.Steps, Step{Rule: "alias map", Input: uri.User})
	for _, number := range dialled {
		user, ok := w.t.Learned(w.q.Upstream, Normalise(number))
		if ok && w.took("learned number", number, w.t.ByUser(w.q.Upstream, user)) {
			return
		}
	}
	w.Steps = append(w.Steps, Step{Rule: "learned number", Input: uri.User})
	if all := w.t.Live(w.q.Upstream); !w.Known && oneUser(all) {
		w.took("sole account", all[0].Series.User, all)
		return
	}
	w.took("sole account", "", nil)
}

// oneUser reports whether all bindings are of one AOR.
func oneUser(all []*binding.Binding) bool {
	for _, b := range all {
		if b.Series.AOR != all[0].Series.AOR {
			return false
		}
	}
	return len(all) > 0
}

// lookup finds a number in the alias map, spelled as it is or as another form of
// the same number.
func lookup(aliases map[string]string, number string) (string, bool) {
	if user, ok := aliases[number]; ok {
		return user, true
	}
	for key, user := range aliases {
		if SameNumber(key, number) {
			return user, true
		}
	}
	return "", false
}

// Normalise returns a dialled number without separators and parameters, and with
// + for an international 00.
func Normalise(number string) string {
	number, _, _ = strings.Cut(number, ";")
	n := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -./()", r) {
			return -1
		}
		return r
	}, number)
	if rest, ok := strings.CutPrefix(n, "00"); ok && digits(rest) {
		return "+" + rest
	}
	return n
}

// SameNumber reports whether two dialled numbers are one: equal once normalised,
// or one international and the other the same in national form (+4930123 and
// 030123, with or without the 0), of at least six digits.
func SameNumber(a, b string) bool {
	const least = 6
	a, b = Normalise(a), Normalise(b)
	if a == b {
		return a != ""
	}
	if strings.HasPrefix(b, "+") {
		a, b = b, a
	}
	international, ok := strings.CutPrefix(a, "+")
	if !ok || strings.HasPrefix(b, "+") {
		return false
	}
	if international == b && digits(b) {
		return true
	}
	national := strings.TrimPrefix(b, "0")
	const longestCode = 3
	code := len(international) - len(national)
	return len(national) != len(b) && len(national) >= least && code >= 1 && code <= longestCode &&
		digits(national) && strings.HasSuffix(international, national)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
