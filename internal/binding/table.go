package binding

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// A Table holds every series and its bindings. Not safe for concurrent use.
type Table struct {
	key      []byte
	series   map[string]*Series   // by identity
	byCallID map[string]*Series   // by upstream, AOR and the phone's Call-ID
	byToken  map[string]*Binding  // tokens of all bindings, live or reserved
	byUser   map[string][]*Series // by upstream and AOR user
	learned  map[string]string    // upstream and number → AOR user, from P-Associated-URI
	dialogs  map[string]*Binding  // transient bindings by source and URI
}

// NewTable returns an empty table; key makes the tokens and must stay the same
// over restarts.
func NewTable(key []byte) *Table {
	return &Table{
		key: key, series: map[string]*Series{}, byCallID: map[string]*Series{},
		byToken: map[string]*Binding{}, byUser: map[string][]*Series{},
		learned: map[string]string{}, dialogs: map[string]*Binding{},
	}
}

// A Claim is what a REGISTER says about who sends it.
type Claim struct {
	Upstream, User, Host string // the AOR
	Instance             string // +sip.instance value of the contact, "" without
	RegID                string
	CallID               string // the phone's
	ContactURI           string // of the first contact
	ContactUser          string
	From                 Source
}

// Reserve returns the series of a REGISTER, a new one where it is the first of
// its identity: by instance, else by the phone's Call-ID, else, for a phone that
// has started again, by its address and Contact user. Nothing is promised yet.
func (t *Table) Reserve(c Claim) *Series {
	aor := c.User + "@" + strings.ToLower(c.Host)
	callKey := join(c.Upstream, aor, c.CallID)
	if c.Instance != "" {
		id := join("i", c.Upstream, aor, c.Instance, c.RegID)
		if s := t.series[id]; s != nil {
			t.rename(s, c.CallID)
			return s
		}
		return t.add(id, aor, c)
	}
	if s := t.byCallID[callKey]; s != nil && s.Instance == "" {
		return s
	}
	if s := t.restarted(aor, c); s != nil {
		t.rename(s, c.CallID)
		return s
	}
	return t.add(join("c", c.Upstream, aor, c.CallID), aor, c)
}

// restarted finds the series of a phone without instance that lost its Call-ID:
// same address and Contact user, and either the same Contact or a connection
// that is gone. A second phone at the same address matches neither.
func (t *Table) restarted(aor string, c Claim) *Series {
	for _, s := range t.byUser[join(c.Upstream, c.User)] {
		if s.AOR != aor || s.Instance != "" || len(s.Bindings) == 0 {
			continue
		}
		b := s.Bindings[0]
		if b.From.Addr.Addr() != c.From.Addr.Addr() || userOf(b.URI) != c.ContactUser {
			continue
		}
		if b.URI == c.ContactURI || b.From.Path == 0 && b.From.Proto != "UDP" {
			return s
		}
	}
	return nil
}

func userOf(uri string) string {
	_, rest, _ := strings.Cut(uri, ":")
	user, _, ok := strings.Cut(rest, "@")
	if !ok {
		return ""
	}
	return user
}

// rename notes the Call-ID under which the phone now registers.
func (t *Table) rename(s *Series, callID string) {
	if s.PhoneID == callID {
		return
	}
	delete(t.byCallID, join(s.Upstream, s.AOR, s.PhoneID))
	s.PhoneID = callID
	t.byCallID[join(s.Upstream, s.AOR, callID)] = s
}

func (t *Table) add(id, aor string, c Claim) *Series {
	s := &Series{
		ID: id, Upstream: c.Upstream, AOR: aor, User: c.User, PhoneID: c.CallID,
		CallID: hex.EncodeToString(t.sum("callid", id)[:16]),
	}
	if c.Instance != "" {
		s.Instance = join(c.Instance, c.RegID)
	}
	t.index(s)
	return s
}

func (t *Table) index(s *Series) {
	t.series[s.ID] = s
	t.byCallID[join(s.Upstream, s.AOR, s.PhoneID)] = s
	key := join(s.Upstream, s.User)
	t.byUser[key] = append(t.byUser[key], s)
}

// Contact returns the binding of the i-th contact of a series, reserved where it
// is new.
func (t *Table) Contact(s *Series, i int) *Binding {
	for len(s.Bindings) <= i {
		b := &Binding{Series: s, Index: len(s.Bindings)}
		b.Token = t.token(s.ID, b.Index)
		s.Bindings = append(s.Bindings, b)
		t.byToken[b.Token] = b
	}
	return s.Bindings[i]
}

// Dialog returns the transient binding that stands for the contact of a phone in
// a dialog which its registrations do not cover; it lives until ends at least.
func (t *Table) Dialog(upstream, user, uri string, from Source, ends time.Time) *Binding {
	key := join("d", upstream, from.Addr.String(), uri)
	b := t.dialogs[key]
	if b == nil {
		s := &Series{ID: key, Upstream: upstream, User: user}
		b = &Binding{Series: s, Token: t.token(key, 0), URI: uri, Live: true, Transient: true}
		s.Bindings = []*Binding{b}
		t.dialogs[key] = b
		t.byToken[b.Token] = b
	}
	b.From = from
	if ends.After(b.Upstream) {
		b.Upstream = ends
	}
	return b
}

// ByToken returns the binding of a token, live or not; nil if there is none.
func (t *Table) ByToken(token string) *Binding { return t.byToken[token] }

// ByUser returns the live bindings of an AOR user at an upstream.
func (t *Table) ByUser(upstream, user string) []*Binding {
	var out []*Binding
	for _, s := range t.byUser[join(upstream, user)] {
		for _, b := range s.Bindings {
			if b.Live {
				out = append(out, b)
			}
		}
	}
	return out
}

// Knows reports whether an AOR user has registered here within a day, whether
// or not one of its phones is registered now.
func (t *Table) Knows(upstream, user string) bool {
	return len(t.byUser[join(upstream, user)]) > 0
}

// At returns a live registered binding of the phone that sends from a source,
// the one whose user is given if there is one; nil without any.
func (t *Table) At(from Source, user string) *Binding {
	var found *Binding
	for _, s := range t.series {
		for _, b := range s.Bindings {
			if !b.Live || b.From.Path != from.Path || b.From.Addr != from.Addr {
				continue
			}
			if s.User == user {
				return b
			}
			found = b
		}
	}
	return found
}

// Live returns all live registered bindings of an upstream.
func (t *Table) Live(upstream string) []*Binding {
	var out []*Binding
	for _, s := range t.series {
		if s.Upstream != upstream {
			continue
		}
		for _, b := range s.Bindings {
			if b.Live {
				out = append(out, b)
			}
		}
	}
	return out
}

// Learn notes that the provider knows an AOR user by number as well.
func (t *Table) Learn(upstream, number, user string) { t.learned[join(upstream, number)] = user }

// Learned returns the AOR user of a learned number.
func (t *Table) Learned(upstream, number string) (string, bool) {
	user, ok := t.learned[join(upstream, number)]
	return user, ok
}

// Closed forgets a LAN connection: phones behind it are reachable again when
// they come back.
func (t *Table) Closed(path uint32) {
	for _, b := range t.byToken {
		if b.From.Path == path {
			b.From.Path = 0
		}
	}
}

// End marks a binding as gone from the registrar. Its identity and token stay
// for a while, so that the same phone gets the same alias again.
func (t *Table) End(b *Binding) { b.Live = false }

// Expire ends what has lapsed at now and forgets series that have been dead for
// a day; it returns the live bindings that it ended.
func (t *Table) Expire(now time.Time) []*Binding {
	const remember = 24 * time.Hour
	var ended []*Binding
	for _, b := range t.byToken {
		if b.Live && !now.Before(b.Ends()) {
			b.Live = false
			ended = append(ended, b)
		}
	}
	for key, b := range t.dialogs {
		if !b.Live {
			delete(t.dialogs, key)
			delete(t.byToken, b.Token)
		}
	}
	for _, s := range t.series {
		if !s.Busy && s.deadSince(now.Add(-remember)) {
			t.forget(s)
		}
	}
	return ended
}

func (s *Series) deadSince(t time.Time) bool {
	for _, b := range s.Bindings {
		if b.Live || b.Ends().After(t) {
			return false
		}
	}
	return true
}

func (t *Table) forget(s *Series) {
	delete(t.series, s.ID)
	delete(t.byCallID, join(s.Upstream, s.AOR, s.PhoneID))
	for _, b := range s.Bindings {
		delete(t.byToken, b.Token)
	}
	key := join(s.Upstream, s.User)
	rest := t.byUser[key][:0]
	for _, o := range t.byUser[key] {
		if o != s {
			rest = append(rest, o)
		}
	}
	if len(rest) == 0 {
		delete(t.byUser, key)
		return
	}
	t.byUser[key] = rest
}

// token makes the token of the i-th contact of an identity: 16 characters of
// [a-z0-9] that start with a letter, from an HMAC, so that it says nothing about
// the LAN and nobody else can make one.
func (t *Table) token(id string, i int) string {
	const letters, size = "abcdefghijklmnopqrstuvwxyz0123456789", 16
	sum := t.sum("token", join(id, strconv.Itoa(i)))
	out := make([]byte, size)
	out[0] = letters[int(sum[0])%26]
	for j := 1; j < size; j++ {
		out[j] = letters[int(sum[j])%len(letters)]
	}
	return string(out)
}

func (t *Table) sum(kind, s string) []byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(kind))
	mac.Write([]byte{0})
	mac.Write([]byte(s))
	return mac.Sum(nil)
}

// join makes one key of several parts, which may hold any character but NUL.
func join(parts ...string) string { return strings.Join(parts, "\x00") }

// NextEnd returns when the first live binding may lapse, the zero time without
// any.
func (t *Table) NextEnd() time.Time {
	var next time.Time
	for _, b := range t.byToken {
		if end := b.Ends(); b.Live && (next.IsZero() || end.Before(next)) {
			next = end
		}
	}
	return next
}
