package app_test

import (
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// sees lets a phone with these Contacts register and fails unless each comes
// back as it was sent, with the lease in expires.
func (w *world) sees(name string, contacts, want []string, change ...func(*peer.PhoneConfig)) {
	w.t.Helper()
	p := w.phone(w.phoneA, "alice", peer.UDP, append(change, func(c *peer.PhoneConfig) {
		c.Contacts = contacts
		c.ContactName = name
	})...)
	r, err := p.Register(w.ctx)
	w.must(err)
	addr := p.Flow().Local().String()
	for _, c := range want {
		c = strings.ReplaceAll(c, "{addr}", addr)
		found := false
		for _, got := range r.Contacts {
			found = found || got == c
		}
		if !found {
			w.t.Errorf("the phone sees %q, want %q", r.Contacts, c)
		}
	}
	w.clean()
}

// Promise 2: whatever the phone wrote comes back byte for byte.
func TestPhoneSeesItself(t *testing.T) {
	for name, row := range map[string]struct {
		header         string
		contacts, want []string
	}{
		"plain": {"", []string{"<sip:alice@{addr}>"}, []string{"<sip:alice@{addr}>;expires=180"}},
		"quoted parameters": {
			"",
			[]string{`"A, \"the\" one" <sip:alice@{addr};x=a%3Bb>;q=0.5;feature="<a,b>"`},
			[]string{`"A, \"the\" one" <sip:alice@{addr};x=a%3Bb>;q=0.5;feature="<a,b>";expires=180`},
		},
		"instance": {
			"",
			[]string{`<sip:alice@{addr};line=7>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";expires=600`},
			[]string{`<sip:alice@{addr};line=7>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";expires=180`},
		},
		"folded": {
			"",
			[]string{"<sip:alice@{addr}>\r\n ;q=0.3\r\n\t;expires=600"},
			[]string{"<sip:alice@{addr}> ;q=0.3 ;expires=180"},
		},
		"compact": {"m", []string{"<sip:alice@{addr}>;q=1"}, []string{"<sip:alice@{addr}>;q=1;expires=180"}},
		"no brackets": {
			"", []string{"sip:alice@{addr};unknown"}, []string{"sip:alice@{addr};unknown;expires=180"},
		},
		"three contacts": {
			"",
			[]string{"<sip:alice@{addr};n=1>;q=1", "<sip:alice@{addr};n=2>;q=0.5", "<sip:al@{addr};n=3>"},
			[]string{
				"<sip:alice@{addr};n=1>;q=1;expires=180", "<sip:alice@{addr};n=2>;q=0.5;expires=180",
				"<sip:al@{addr};n=3>;expires=180",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TCP}, func(w *world) { w.sees(row.header, row.contacts, row.want) })
		})
	}
}

// The registrar may do to our Contact what registrars do.
func TestPhoneSeesItselfWhateverTheRegistrarDoes(t *testing.T) {
	for name, quirk := range map[string]func(*peer.Quirks){
		"foreign first":  func(q *peer.Quirks) { q.Foreign = []string{"<sip:alice@198.51.100.77:5060;x=1>;expires=99"} },
		"re-cased":       func(q *peer.Quirks) { q.ReCase = true },
		"re-ordered":     func(q *peer.Quirks) { q.ReOrder = true },
		"appended":       func(q *peer.Quirks) { q.Append = ";alias=203.0.113.2~5060~2" },
		"one line":       func(q *peer.Quirks) { q.OneLine = true; q.Foreign = []string{"<sip:a@198.51.100.77>"} },
		"Expires header": func(q *peer.Quirks) { q.ExpiresHeader = true },
		"all at once": func(q *peer.Quirks) {
			q.ReCase, q.ReOrder, q.Append, q.Foreign = true, true, ";received=x", []string{"<sip:a@198.51.100.77>"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) { quirk(&c.Quirks) }}, func(w *world) {
				p := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) {
					c.Contacts = []string{`<sip:alice@{addr};line=7>;q=0.5`}
				})
				r, err := p.Register(w.ctx)
				w.must(err)
				want := "<sip:alice@" + p.Flow().Local().String() + ";line=7>;q=0.5;expires=180"
				if !strings.HasPrefix(r.Contact, want) {
					t.Errorf("the phone sees %q, want %q", r.Contact, want)
				}
				if n := len(r.Contacts) - strings.Count(r.Response.Raw, "198.51.100.77"); n != 1 {
					t.Errorf("the phone sees %q", r.Contacts)
				}
				if strings.Contains(r.Response.Raw, "198.51.100.77") != (name == "foreign first" || name == "one line" || name == "all at once") {
					t.Errorf("foreign contacts:\n%s", r.Response.Raw)
				}
			})
		})
	}
}

// "Contact: *" takes everything away, and the next REGISTER brings it back.
func TestStar(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.phone(w.phoneA, "alice", peer.UDP)
		first := w.registered(p, "alice").URI
		_, err := p.UnregisterAll(w.ctx)
		w.must(err)
		if n := len(w.prov.Bindings("alice")); n != 0 {
			t.Errorf("%d bindings left", n)
		}
		w.registered(w.phone(w.phoneB, "bob", peer.UDP), "bob")
		call, err := w.prov.Call(w.ctx, "bob", peer.ToURI(first), peer.WithTo("sip:alice@"+domain))
		w.must(err)
		if err := call.Answered(w.within(10 * time.Second)); peer.Status(err) != 480 {
			t.Errorf("a call to the old alias: %v, want 480", err)
		}
		if again := w.registered(p, "alice").URI; again != first {
			t.Errorf("alias %s became %s", first, again)
		}
	})
}

// A phone that unregisters is gone at the provider and here.
func TestUnregister(t *testing.T) {
	live(t, plan{proto: peer.UDP}, func(w *world) {
		p := w.phone(w.phoneA, "alice", peer.UDP)
		b := w.registered(p, "alice")
		_, err := p.Unregister(w.ctx)
		w.must(err)
		if n := len(w.prov.Bindings("alice")); n != 0 {
			t.Errorf("%d bindings left", n)
		}
		w.registered(w.phone(w.phoneB, "bob", peer.UDP), "bob")
		call, err := w.prov.Call(w.ctx, "bob", peer.ToURI(b.URI), peer.WithTo("sip:alice@"+domain))
		w.must(err)
		if err := call.Answered(w.within(10 * time.Second)); peer.Status(err) != 480 {
			t.Errorf("a call to the old alias: %v, want 480", err)
		}
	})
}
