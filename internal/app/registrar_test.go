package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// of a REGISTER only Via, Contact, Call-ID and the number of CSeq change;
// the answer comes back with the phone's own.
func TestRegisterPassesUnchanged(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) {
					c.Headers = []string{"Allow-Events: a, b", "X-Vendor:  odd ;;,", "Supported: path, gruu", "Require: any", "Subject: a\r\n b"}
				})
				r, err := alice.Register(w.ctx)
				w.must(err)
				w.passed(requests(alice.Sent("REGISTER")), w.last(w.prov.Received("REGISTER")), "CSeq")
				w.passed(w.last(w.prov.Sent("REGISTER")), r.Response, "CSeq")
				got := w.last(w.prov.Received("REGISTER"))
				w.branchOf(got)
				if got.Get("record-route") != "" || got.Get("path") != "" || got.Get("route") != "" {
					t.Errorf("at the provider\n%s", got.Raw)
				}
				sent := requests(alice.Sent("REGISTER"))
				if r.Response.CallID() != sent.CallID() || r.Response.Get("cseq") != sent.Get("cseq") {
					t.Errorf("the answer\n%s", r.Response.Raw)
				}
				w.clean()
			})
		})
	}
}

// what the phone asks for, what the registrar is asked, and what the
// phone is told: at most what it asked for, what was granted and the LAN lease.
func TestExpiry(t *testing.T) {
	for name, row := range map[string]struct {
		contact, header string // the phone's
		grant           time.Duration
		quirk           func(*peer.Quirks)
		up              string // what the provider sees, Contact | Expires
		told            time.Duration
	}{
		"none":               {"", "", 0, nil, "|", 180 * time.Second},
		"header":             {"", "90", 0, nil, "|90", 90 * time.Second},
		"contact":            {";expires=100", "", 0, nil, ";expires=100|", 100 * time.Second},
		"contact over both":  {";expires=100", "3600", 0, nil, ";expires=100|3600", 100 * time.Second},
		"malformed contact":  {";expires=never", "60", 0, nil, ";expires=never|60", 180 * time.Second},
		"malformed header":   {"", "soon", 0, nil, "|soon", 180 * time.Second},
		"granted less":       {"", "3600", 120 * time.Second, nil, "|3600", 120 * time.Second},
		"granted in Expires": {"", "3600", 100 * time.Second, func(q *peer.Quirks) { q.ExpiresHeader = true }, "|3600", 100 * time.Second},
		"huge":               {"", "4294967295", 0, nil, "|4294967295", 180 * time.Second},
		"too huge":           {";expires=99999999999", "", 0, nil, ";expires=99999999999|", 180 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) {
				c.Quirks.Expires = row.grant
				if row.quirk != nil {
					row.quirk(&c.Quirks)
				}
			}}, func(w *world) {
				alice := w.raw(w.phoneA, peer.UDP)
				text := strings.Replace(registerOf("alice"), "{proto}>", "{proto}>"+row.contact, 1)
				if row.header != "" {
					text = strings.Replace(text, "Max-Forwards", "Expires: "+row.header+"\nMax-Forwards", 1)
				}
				m, err := alice.Authorised(w.within(5*time.Second), text, "alice", "secret")
				w.must(err)
				got := w.last(w.prov.Received("REGISTER"))
				_, params, _ := strings.Cut(got.Get("contact"), ">")
				if have := params + "|" + got.Get("expires"); have != row.up {
					t.Errorf("asked the registrar for %q, want %q", have, row.up)
				}
				if got := leaseIn(m); got != row.told {
					t.Errorf("told the phone %v, want %v in\n%s", got, row.told, m.Raw)
				}
			})
		})
	}
}

// registerOf is the template of a raw phone's REGISTER.
func registerOf(user string) string {
	return strings.ReplaceAll(dialog("REGISTER", user, "sip:"+domain, ""), "To: <sip:"+domain, "To: <sip:"+user+"@"+domain)
}

// leaseIn returns the expires of the first Contact.
func leaseIn(m *peer.Message) time.Duration {
	var n int
	_, after, _ := strings.Cut(m.Get("contact"), ";expires=")
	_, _ = fmt.Sscanf(after, "%d", &n)
	return time.Duration(n) * time.Second
}

// 423: without credentials we ask again by ourselves; with them the phone must,
// for the digest is its own. Either way the next phone meets none.
func TestIntervalTooBrief(t *testing.T) {
	for _, authorised := range []bool{false, true} {
		t.Run(fmt.Sprint("with credentials ", authorised), func(t *testing.T) {
			live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) {
				c.Quirks.MinExpires = 10 * time.Minute
				c.Auth.Off = !authorised
			}}, func(w *world) {
				minute := func(c *peer.PhoneConfig) { c.Expires = time.Minute }
				alice := w.phone(w.phoneA, "alice", peer.UDP, minute)
				r, err := alice.Register(w.ctx)
				if authorised {
					if peer.Status(err) != 423 || r.Response.Get("min-expires") != "600" {
						t.Fatalf("%v, want 423", err)
					}
					r, err = alice.Register(w.ctx)
				}
				w.must(err)
				if r.Expires != time.Minute {
					t.Errorf("lease %v", r.Expires)
				}
				bob := w.phone(w.phoneB, "bob", peer.UDP, minute, func(c *peer.PhoneConfig) { c.ExpiresParam = true })
				r, err = bob.Register(w.ctx)
				w.must(err)
				if r.Expires != time.Minute || len(withStatus(w.prov.Sent("REGISTER"), 423)) != 1 {
					t.Errorf("the next phone: lease %v, %d times 423", r.Expires, len(withStatus(w.prov.Sent("REGISTER"), 423)))
				}
				if left := time.Until(w.prov.Bindings("bob")[0].Expires); left < 9*time.Minute {
					t.Errorf("the registrar was asked for %v", left)
				}
				_, err = bob.Unregister(w.ctx)
				w.must(err)
				if n := len(w.prov.Bindings("bob")); n != 0 {
					t.Errorf("%d bindings after unregistering", n)
				}
			})
		})
	}
}

// Refusals pass as they are, and one log line says why, and what to do.
func TestRefusalsAreExplained(t *testing.T) {
	for name, row := range map[string]struct {
		prov   func(*peer.ProviderConfig)
		phone  func(*peer.PhoneConfig)
		status int
	}{
		"wrong password":  {func(*peer.ProviderConfig) {}, func(c *peer.PhoneConfig) { c.Password = "wrong" }, 401},
		"forbidden":       {func(c *peer.ProviderConfig) { c.Quirks.Forbid = map[string]bool{"alice": true} }, nil, 403},
		"no registrar":    {func(c *peer.ProviderConfig) { c.Quirks.Refuse = map[string]int{"REGISTER": 405} }, nil, 405},
		"too brief":       {func(c *peer.ProviderConfig) { c.Quirks.MinExpires = 2 * time.Hour }, nil, 423},
		"unknown account": {func(c *peer.ProviderConfig) { c.Quirks.Refuse = map[string]int{"REGISTER": 404} }, nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TCP, prov: row.prov}, func(w *world) {
				var change []func(*peer.PhoneConfig)
				if row.phone != nil {
					change = append(change, row.phone)
				}
				alice := w.phone(w.phoneA, "alice", peer.UDP, change...)
				if _, err := alice.Register(w.ctx); peer.Status(err) != row.status {
					t.Fatalf("%v, want %d", err, row.status)
				}
				log := w.log.String()
				if n := strings.Count(log, `msg="provider refuses"`); n != 1 {
					t.Errorf("%d lines about it", n)
				}
				for _, want := range []string{"cause=", "remedy=", fmt.Sprintf("status=%d", row.status)} {
					if !strings.Contains(log, want) {
						t.Errorf("the log lacks %s", want)
					}
				}
				if strings.Contains(log, "secret") || strings.Contains(log, "response=") {
					t.Error("credentials in the log")
				}
			})
		})
	}
}

// a star that is not alone or does not say 0 is refused here.
func TestBadStar(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		alice := w.raw(w.phoneA, peer.UDP)
		w.rawRegister(alice, "alice", "secret")
		before := len(w.prov.Received("REGISTER"))
		for _, contacts := range []string{
			"Contact: *\nExpires: 60", "Contact: *", "Contact: *\nContact: <sip:alice@{addr}>\nExpires: 0",
			"Contact: *, <sip:alice@{addr}>\nExpires: 0", "Contact: *\nContact: *\nExpires: 0",
		} {
			m, err := alice.Exchange(w.within(time.Second), strings.Replace(registerOf("alice"), "Contact: <sip:alice@{addr};transport={proto}>", contacts, 1))
			w.must(err)
			if m.Status() != 400 {
				t.Errorf("%q: %s", contacts, m.Start())
			}
		}
		if n := len(w.prov.Received("REGISTER")); n != before || len(w.prov.Bindings("alice")) != 1 {
			t.Errorf("%d REGISTERs passed on", n-before)
		}
	})
}

// a fetch has no Contact and gets none; the phone's own come back as it
// wrote them.
func TestFetch(t *testing.T) {
	live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) { c.Quirks.Foreign = []string{"<sip:alice@198.51.100.77>;expires=9"} }}, func(w *world) {
		alice := w.raw(w.phoneA, peer.UDP)
		own := w.rawRegister(alice, "alice", "secret").Elems("contact")
		m, err := alice.Authorised(w.within(time.Second), strings.Replace(registerOf("alice"), "Contact: <sip:alice@{addr};transport={proto}>\n", "", 1), "alice", "secret")
		w.must(err)
		if got := w.last(w.prov.Received("REGISTER")).Values("contact"); len(got) != 0 {
			t.Errorf("the fetch had %q", got)
		}
		if got := m.Elems("contact"); !slices.Equal(got, own) {
			t.Errorf("fetched %q, want %q", got, own)
		}
		if _, err := w.prov.Call(w.ctx, "alice"); err != nil {
			t.Error(err)
		}
	})
}

// several contacts each have an alias, in their order; what is not the
// phone's own address passes as it is.
func TestForeignContactsPass(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		contacts := []string{
			"<tel:+49301234567>;q=0.1", "<sip:alice@{addr};line=1>;q=0.9", "<mailto:alice@example.net>;q=0.2",
			"<sip:alice@198.51.100.99:5070;x=1>;q=0.3", "<sip:alice@mobile.example.net>", "<sip:alice@{addr};line=2>",
		}
		alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Contacts = contacts })
		r, err := alice.Register(w.ctx)
		w.must(err)
		up := w.last(w.prov.Received("REGISTER")).Elems("contact")
		for i, c := range contacts {
			own := strings.Contains(c, "{addr}")
			if len(up) != len(contacts) || !own && up[i] != c || own && !strings.Contains(up[i], wanRouter) {
				t.Fatalf("the provider got %q", up)
			}
			want := strings.ReplaceAll(c, "{addr}", alice.Flow().Local().String())
			if !slices.ContainsFunc(r.Contacts, func(got string) bool { return strings.HasPrefix(got, want+";expires=") }) {
				t.Errorf("%q is not in %q", want, r.Contacts)
			}
		}
		w.clean()
	})
}

// Three contacts, then a refresh of one, then the end of another: the phone sees
// its own bytes all the time, and each alias stays its own.
func TestThreeContactsRefreshOne(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		line := func(n int) string { return fmt.Sprintf("<sip:alice@{addr};line=%d>", n) }
		alice := w.raw(w.phoneA, peer.UDP)
		send := func(contacts ...string) *peer.Message {
			m, err := alice.Authorised(w.within(time.Second), strings.Replace(registerOf("alice"), "<sip:alice@{addr};transport={proto}>", strings.Join(contacts, ", "), 1), "alice", "secret")
			w.must(err)
			if m.Status() != 200 {
				t.Fatalf("%s", m.Start())
			}
			return m
		}
		sees := func(m *peer.Message, lines ...int) {
			t.Helper()
			var got, want []string
			for _, c := range m.Elems("contact") {
				uri, _, _ := strings.Cut(c, ">")
				got = append(got, uri+">")
			}
			for _, n := range lines {
				want = append(want, alice.Fill(line(n)))
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("the phone sees %q, want %q", got, want)
			}
		}
		aliases := func() (out []string) {
			for _, b := range w.prov.Bindings("alice") {
				out = append(out, b.URI)
			}
			slices.Sort(out)
			return out
		}
		sees(send(line(1), line(2), line(3)), 1, 2, 3)
		all := aliases()
		sees(send(line(2)), 1, 2, 3)
		if got := aliases(); !slices.Equal(got, all) {
			t.Errorf("aliases %q became %q", all, got)
		}
		sees(send(line(3)+";expires=0"), 1, 2)
		sees(send(line(2), line(1)), 1, 2)
		if got := aliases(); len(got) != 2 || !slices.Contains(all, got[0]) || !slices.Contains(all, got[1]) {
			t.Errorf("aliases %q of %q", got, all)
		}
		sees(send(line(4), line(1)+";expires=0"), 2, 4)
		if got := aliases(); len(got) != 2 {
			t.Errorf("aliases %q", got)
		}
		w.clean()
	})
}

// reg-id and outbound do not pass, so that no registrar answers 439; the
// phone sees its Contact as it wrote it.
func TestOutboundDoesNotPass(t *testing.T) {
	live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) { c.Quirks.Strict439 = true }}, func(w *world) {
		contact := `<sip:alice@{addr};ob>;reg-id=1;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"`
		alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) {
			c.Contacts, c.Headers = []string{contact}, []string{"Supported: path, outbound, gruu"}
		})
		r, err := alice.Register(w.ctx)
		w.must(err)
		got := w.last(w.prov.Received("REGISTER"))
		if strings.Contains(got.Raw, "reg-id") || strings.Contains(got.Raw, "outbound") || got.Get("supported") != "path, gruu" {
			t.Errorf("the provider got\n%s", got.Raw)
		}
		if want := strings.ReplaceAll(contact, "{addr}", alice.Flow().Local().String()) + ";expires=180"; r.Contact != want {
			t.Errorf("the phone sees %s, want %s", r.Contact, want)
		}
	})
}

// what the registrar says beside the Contacts passes byte for byte.
func TestRegistrarsHeadersPass(t *testing.T) {
	extra := []string{
		"Service-Route: <sip:orig@proxy.example.com;lr>,  <sip:two@proxy.example.com;lr>", "Path: <sip:edge.example.com;lr>",
		"P-Associated-URI: <sip:+49301234567@" + domain + ">,<tel:+49301234567>", "Date: Sat, 13 Nov 2010 23:29:00 GMT",
		"Security-Server:  digest", "Authentication-Info: nextnonce=\"abc\",  qop=auth", "X-Any: 1,,2",
	}
	live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) { c.Quirks.Extra = extra }}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		r, err := alice.Register(w.ctx)
		w.must(err)
		w.passed(w.last(w.prov.Sent("REGISTER")), r.Response, "CSeq")
		// The number that the provider told us leads to the phone.
		out, err := w.prov.Call(w.ctx, "alice", peer.ToURI("sip:+49301234567@"+wanRouter), peer.WithTo("sip:+49301234567@"+domain))
		w.must(err)
		in, err := alice.Expect(w.within(time.Second))
		w.must(err)
		w.must(in.Answer())
		w.must(out.Answered(w.within(time.Second)))
	})
}

// after the router gave the flow another port the next REGISTER brings the
// new alias and takes the old one out; the phone sees one Contact, its own.
func TestOldAliasGoes(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Refresh = true })
				old := w.registered(alice, "alice").URI
				w.router.Rebind()
				w.sleep(4 * time.Minute)
				all := w.prov.Bindings("alice")
				if len(all) != 1 || all[0].URI == old {
					t.Fatalf("%d bindings, the first %s, was %s", len(all), all[0].URI, old)
				}
				token := func(uri string) string { return uri[strings.Index(uri, ";b="):] }
				if token(all[0].URI) != token(old) {
					t.Errorf("the token changed: %s, was %s", all[0].URI, old)
				}
				found := false
				for _, m := range w.prov.Received("REGISTER") {
					c := m.Elems("contact")
					found = found || len(c) == 2 && strings.Contains(c[0], all[0].URI) && c[1] == "<"+old+">;expires=0"
				}
				if !found {
					t.Error("no REGISTER with both")
				}
				for _, m := range withStatus(alice.Responses("REGISTER"), 200) {
					if c := m.Elems("contact"); len(c) != 1 || !strings.Contains(c[0], lanPhoneA) {
						t.Errorf("the phone saw %q", c)
					}
				}
				outside, inside := w.called(alice, "alice")
				w.heard(outside, inside)
				w.clean()
			})
		})
	}
}

// A registrar that refuses two Contacts is not asked again; the phone never
// notices.
func TestRegistrarTakesOneContactOnly(t *testing.T) {
	live(t, plan{proto: peer.UDP, prov: func(c *peer.ProviderConfig) { c.Quirks.OneContact = true }}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Refresh = true })
		old := w.registered(alice, "alice").URI
		for range 2 {
			w.router.Rebind()
			w.sleep(4 * time.Minute)
		}
		if n := len(withStatus(w.prov.Sent("REGISTER"), 400)); n != 1 {
			t.Errorf("%d REGISTERs refused", n)
		}
		for _, m := range alice.Responses("REGISTER") {
			if m.Status() != 200 && m.Status() != 401 {
				t.Errorf("the phone saw %s", m.Start())
			}
		}
		if b := w.prov.Bindings("alice"); b[len(b)-1].URI == old {
			t.Errorf("bindings %v", b)
		}
		outside, inside := w.called(alice, "alice")
		w.heard(outside, inside)
	})
}

// A REGISTER while another of the same phone is under way waits outside; both
// end well.
func TestRegisterWhileOneIsPending(t *testing.T) {
	live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) { c.Auth.Off = true }}, func(w *world) {
		w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"REGISTER": true} })
		alice := w.raw(w.phoneA, peer.UDP)
		_, err := alice.Send(registerOf("alice"))
		w.must(err)
		first, err := w.prov.WaitRequest(w.within(time.Second), "REGISTER", 1)
		w.must(err)
		alice.Set("cseq", "2")
		m, err := alice.Exchange(w.within(time.Second), registerOf("alice"))
		w.must(err)
		if m.Status() != 500 || m.Get("retry-after") == "" {
			t.Errorf("the second one: %s", m.Start())
		}
		w.respond(first, "200 OK", []string{"Contact: " + first.Get("contact") + ";expires=600"}, "")
		_, err = alice.Wait(w.within(time.Second), func(m *peer.Message) bool { return m.Status() == 200 })
		w.must(err)
		w.prov.Set(func(q *peer.Quirks) { q.Ignore = nil })
		alice.Set("cseq", "3")
		m, err = alice.Exchange(w.within(time.Second), registerOf("alice"))
		w.must(err)
		if m.Status() != 200 {
			t.Errorf("the third one: %s", m.Start())
		}
	})
}

// A phone that takes us for its registrar is told what to enter.
func TestRegisterAddressedToPinhole(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		for _, d := range []string{lanProxy, lanProxy + ":5060", "elsewhere.example.net"} {
			alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Domain = d })
			r, err := alice.Register(w.ctx)
			if peer.Status(err) != 403 {
				t.Fatalf("%s: %v, want 403", d, err)
			}
			if d != "elsewhere.example.net" && !strings.Contains(r.Response.Start(), "Outbound Proxy") {
				t.Errorf("%s: %q", d, r.Response.Start())
			}
			if _, err := alice.Request(w.within(time.Second), "MESSAGE", "sip:bob@"+d, nil, ""); peer.Status(err) != 403 {
				t.Errorf("MESSAGE to %s: %v", d, err)
			}
		}
		if !strings.Contains(w.log.String(), "registrar (domain) "+domain+", outbound proxy "+lanProxy+":5060") {
			t.Error("the log does not say what to enter")
		}
		if n := len(w.prov.Received("REGISTER")); n != 0 {
			t.Errorf("%d passed on", n)
		}
	})
}

// A registrar that says nothing: the phone hears nothing but 100 (RFC 4320), and
// its next REGISTER works.
func TestRegistrarSilent(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"REGISTER": true} })
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				if _, err := alice.Register(w.within(40 * time.Second)); err == nil {
					t.Fatal("registered")
				}
				for _, m := range alice.Responses("") {
					if m.Status() != 100 {
						t.Errorf("the phone got %s", m.Start())
					}
				}
				w.sleep(time.Second)
				if !strings.Contains(w.log.String(), "registrar does not answer") {
					t.Error("nothing in the log")
				}
				w.prov.Set(func(q *peer.Quirks) { q.Ignore = nil })
				w.registered(alice, "alice")
				w.settled()
			})
		})
	}
}
