package peer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// A Contact of any form is stored as it was sent, comes back, and is found.
func TestContactForms(t *testing.T) {
	forms := map[string]func(*peer.PhoneConfig){
		"quoted parameter": func(c *peer.PhoneConfig) { c.Contacts = []string{`<{uri}>;x="a b;c,d \"e\"";methods="INVITE, BYE"`} },
		"instance": func(c *peer.PhoneConfig) {
			c.Contacts = []string{`<{uri}>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"`}
		},
		"folded":            func(c *peer.PhoneConfig) { c.Contacts = []string{"<{uri}>\r\n ;q=0.5"} },
		"compact":           func(c *peer.PhoneConfig) { c.ContactName = "m" },
		"display name":      func(c *peer.PhoneConfig) { c.Contacts = []string{`"Alice, \"x\"" <{uri}>`} },
		"no angle brackets": func(c *peer.PhoneConfig) { c.ContactURI = "sip:{user}@{addr}"; c.Contacts = []string{"{uri}"} },
		"several": func(c *peer.PhoneConfig) {
			c.Contacts = []string{"<{uri}>", "<sip:alice@203.0.113.77>;q=0.1", "<sip:x@203.0.113.78;a=b>"}
		},
		"own expires": func(c *peer.PhoneConfig) { c.ExpiresParam = true },
	}
	for name, change := range forms {
		t.Run(name, func(t *testing.T) {
			inMemory(t, peer.ProviderConfig{}, func(w *world) {
				alice := w.phone(0, "alice", peer.UDP, change)
				r := w.registered(alice)
				sent := alice.Sent("REGISTER")
				want := sent[len(sent)-1].Elems("contact")
				for i, b := range w.prov.Bindings("alice") {
					if b.Contact != want[i] {
						t.Errorf("stored %q, sent %q", b.Contact, want[i])
					}
				}
				if len(r.Contacts) != len(want) || r.Expires != time.Hour {
					t.Errorf("got %q for %v", r.Contacts, r.Expires)
				}
				in, err := w.prov.Call(w.ctx, "alice")
				w.must("call", err)
				if c := w.expect(alice); c.Invite().URI() != in.Invite().URI() {
					t.Errorf("called %q", c.Invite().URI())
				}
			})
		})
	}
}

// A registrar's quirks do not hide the phone's own Contact from it, and a
// refusal is an error.
func TestRegistrarQuirks(t *testing.T) {
	cases := []struct {
		name   string
		quirks peer.Quirks
		change func(*peer.PhoneConfig)
		status int
		lease  time.Duration
	}{
		{name: "foreign first", quirks: peer.Quirks{Foreign: []string{"<sip:desk@198.51.100.9>;expires=77"}}},
		{name: "other case", quirks: peer.Quirks{ReCase: true}},
		{name: "other order", quirks: peer.Quirks{ReOrder: true}, change: func(c *peer.PhoneConfig) { c.ContactURI = "sip:{user}@{addr};a=1;b=2" }},
		{name: "appended", quirks: peer.Quirks{Append: ";alias=198.51.100.9~5060~2"}},
		{name: "one line", quirks: peer.Quirks{OneLine: true, Foreign: []string{"<sip:desk@198.51.100.9>"}}},
		{name: "expires header", quirks: peer.Quirks{ExpiresHeader: true}},
		{name: "shorter lease", quirks: peer.Quirks{Expires: 5 * time.Minute}, lease: 5 * time.Minute},
		{name: "plain via", quirks: peer.Quirks{PlainVia: true}},
		{name: "423", quirks: peer.Quirks{MinExpires: 2 * time.Hour}, status: 423},
		{name: "403", quirks: peer.Quirks{Forbid: map[string]bool{"alice": true}}, status: 403},
		{name: "405", quirks: peer.Quirks{Refuse: map[string]int{"REGISTER": 405}}, status: 405},
		{name: "439", quirks: peer.Quirks{Strict439: true}, status: 439, change: func(c *peer.PhoneConfig) {
			c.Contacts = []string{"<{uri}>;reg-id=1"}
			c.Headers = []string{"Supported: path, outbound"}
		}},
		{name: "one contact", quirks: peer.Quirks{OneContact: true}, status: 400, change: func(c *peer.PhoneConfig) {
			c.Contacts = []string{"<{uri}>", "<sip:old@203.0.113.1>;expires=0"}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, peer.ProviderConfig{Quirks: c.quirks}, func(w *world) {
				if c.change == nil {
					c.change = func(*peer.PhoneConfig) {}
				}
				r, err := w.phone(0, "alice", peer.UDP, c.change).Register(w.ctx)
				if peer.Status(err) != c.status || (c.status == 0 && err != nil) {
					t.Fatalf("got %v, want status %d", err, c.status)
				}
				lease := c.lease
				if lease == 0 {
					lease = time.Hour
				}
				if c.status == 0 && r.Expires != lease {
					t.Errorf("lease %v, want %v", r.Expires, lease)
				}
			})
		})
	}
}

// A phone finds a challenge it can answer, whatever its bytes look like, and
// stale nonces are taken anew.
func TestChallenges(t *testing.T) {
	cases := map[string]struct {
		auth  peer.Auth
		tries int // of the second REGISTER
	}{
		"plain":           {peer.Auth{}, 1},
		"no qop":          {peer.Auth{QOP: "none"}, 1},
		"auth-int":        {peer.Auth{QOP: "auth-int"}, 1},
		"both":            {peer.Auth{QOP: "auth,auth-int", Opaque: "x"}, 1},
		"sha first":       {peer.Auth{Algorithms: []string{"SHA-512-256", "SHA-256", "MD5"}}, 1},
		"unknown first":   {peer.Auth{Algorithms: []string{"AKAv1-MD5", "SHA-256-sess"}}, 1},
		"nonce each time": {peer.Auth{NonceUses: 1}, 2},
		"old nonce":       {peer.Auth{NonceLife: time.Second}, 2},
		"odd bytes": {peer.Auth{Lines: []string{
			`NTLM realm="{realm}"`, "dIgEsT  qop = \"auth\" ,\r\n\tnonce=\"{nonce}\",algorithm=md5 , REALM=\"{realm}\"",
		}}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inMemory(t, peer.ProviderConfig{Auth: c.auth}, func(w *world) {
				alice := w.phone(0, "alice", peer.TCP)
				if r := w.registered(alice); r.Tries != 2 {
					t.Errorf("%d tries", r.Tries)
				}
				<-time.After(time.Minute)
				if r := w.registered(alice); r.Tries != c.tries {
					t.Errorf("again: %d tries, want %d", r.Tries, c.tries)
				}
			})
		})
	}
}

func TestWrongPassword(t *testing.T) {
	inMemory(t, peer.ProviderConfig{}, func(w *world) {
		_, err := w.phone(0, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Password = "wrong" }).Register(w.ctx)
		if peer.Status(err) != 401 {
			t.Errorf("got %v", err)
		}
		w.prov.SetUser("alice", "ha1:"+peer.HA1("alice", domain, "secret"))
		w.registered(w.phone(0, "alice", peer.UDP))
	})
}

// A phone that is told to keeps itself registered: by time, and over a
// connection or a provider that went away.
func TestRefresh(t *testing.T) {
	inMemory(t, peer.ProviderConfig{Quirks: peer.Quirks{Expires: time.Minute}}, func(w *world) {
		alice := w.phone(0, "alice", peer.TCP, func(c *peer.PhoneConfig) { c.Refresh = true })
		w.registered(alice)
		<-time.After(10 * time.Minute)
		if n := len(w.prov.Received("REGISTER")); n < 20 || n > 24 {
			t.Errorf("%d REGISTERs in ten minutes of half-minute refreshes", n)
		}
		w.prov.Kill()
		before := w.prov.Bindings("alice")[0].Flow
		w.must("new binding", waitFor(w, func() bool {
			b := w.prov.Bindings("alice")
			return len(b) > 0 && b[0].Flow != before && b[len(b)-1].Flow.Alive()
		}))
		w.must("restart", w.prov.Restart(true))
		_, err := w.prov.WaitBinding(w.ctx, "alice", 1)
		w.must("binding after the restart", err)
	})
}

// waitFor polls a condition that no event tells of.
func waitFor(w *world, cond func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
	return nil
}

func TestUnregisterAll(t *testing.T) {
	inMemory(t, peer.ProviderConfig{}, func(w *world) {
		alice := w.phone(0, "alice", peer.UDP)
		w.registered(alice)
		w.registered(w.phone(1, "alice", peer.UDP))
		_, err := w.prov.WaitBinding(w.ctx, "alice", 2)
		w.must("two bindings", err)
		r, err := alice.UnregisterAll(w.ctx)
		w.must("unregister all", err)
		if len(r.Contacts) != 0 || len(w.prov.Bindings("alice")) != 0 {
			t.Errorf("left %q", r.Contacts)
		}
	})
}

// The provider answers pings as it is told to.
func TestPong(t *testing.T) {
	inMemory(t, peer.ProviderConfig{}, func(w *world) {
		alice := w.phone(0, "alice", peer.TCP)
		w.registered(alice)
		ping := func() error {
			ctx, cancel := context.WithTimeout(w.ctx, time.Second)
			defer cancel()
			return alice.Ping(ctx)
		}
		w.must("ping", ping())
		w.prov.Set(func(q *peer.Quirks) { q.Pong = peer.PongNone })
		if err := ping(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a mute provider: %v", err)
		}
		w.prov.Set(func(q *peer.Quirks) { q.Pong = peer.PongFirst })
		w.must("reconnect", alice.Reconnect(w.ctx))
		w.must("first ping", ping())
		if err := ping(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second ping: %v", err)
		}
		w.prov.Set(func(q *peer.Quirks) { q.Pong = peer.PongDouble })
		w.must("ping", ping())
		w.must("reconnect", alice.Reconnect(w.ctx))
		w.prov.BlackHole(true)
		if err := ping(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a black hole: %v", err)
		}
		if _, err := timed(w, time.Second, alice.Register); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("registering in a black hole: %v", err)
		}
		w.prov.BlackHole(false)
		w.registered(alice)
	})
}

func timed[T any](w *world, d time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(w.ctx, d)
	defer cancel()
	return f(ctx)
}

// A raw phone's bytes arrive as they were written, and it reads the answers as
// they were sent.
func TestRawPhone(t *testing.T) {
	const register = `REGISTER sip:sip.example.com SIP/2.0
v:  SIP/2.0/{proto} {addr};branch={branch} ;rport
Max-Forwards:70
f: "A. Lice"<sip:alice@sip.example.com>;tag={tag}
t: sip:alice@sip.example.com
i: {callid}
CSeq:{cseq}	REGISTER
m: "x"  <sip:alice@{addr}> ; expires = "60"
X-Odd:   a ,, b
l: {length}

`
	for _, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
		t.Run(proto, func(t *testing.T) {
			inMemory(t, peer.ProviderConfig{}, func(w *world) {
				none := w.prov.Addr("none")
				raw, err := peer.NewRawPhone(w.ctx, w.home[0], proto, none, w.prov.Addr(proto), w.ca.Client(domain))
				w.must("open", err)
				defer raw.Close()
				m, err := raw.Authorised(w.ctx, register, "alice", "secret")
				w.must("register", err)
				if m.Status() != 200 {
					t.Fatalf("answered %s", m.Raw)
				}
				var got []string
				for _, m := range w.prov.Received("REGISTER") {
					got = append(got, m.Raw)
				}
				var sent []string
				for _, m := range raw.Sent("REGISTER") {
					sent = append(sent, m.Raw)
				}
				if !slices.Equal(got, sent) || !strings.Contains(got[1], "X-Odd:   a ,, b\r\n") {
					t.Errorf("sent %q\narrived %q", sent, got)
				}
			})
		})
	}
}
