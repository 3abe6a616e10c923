package match

import (
	"strings"
	"testing"
	"time"

	"pinhole/internal/binding"
	"pinhole/internal/message"
)

// house is two phones of alice, one of bob, at the upstream main, and one of
// alice at other.
func house() (*binding.Table, map[string]*binding.Binding) {
	t := binding.NewTable([]byte("key"))
	named := map[string]*binding.Binding{}
	for _, p := range []struct{ name, upstream, user, instance string }{
		{"alice1", "main", "alice", "1"},
		{"alice2", "main", "alice", "2"},
		{"bob", "main", "bob", "3"},
		{"foreign", "other", "alice", "4"},
	} {
		s := t.Reserve(binding.Claim{Upstream: p.upstream, User: p.user, Host: "example.com", Instance: p.instance, CallID: p.name})
		b := t.Contact(s, 0)
		b.Live, b.Upstream = true, time.Now().Add(time.Hour)
		named[p.name] = b
	}
	return t, named
}

func invite(t *testing.T, uri, headers string) *message.Message {
	t.Helper()
	if !strings.Contains(headers, "To:") {
		headers += "To: <sip:nobody@example.com>\r\n"
	}
	m, err := message.Parse("INVITE "+uri+" SIP/2.0\r\nVia: SIP/2.0/TCP p;branch=z9hG4bK1\r\n"+
		"From: <sip:x@example.com>;tag=1\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"+headers+"Content-Length: 0\r\n\r\n", message.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLadder(t *testing.T) {
	table, house := house()
	token := house["alice2"].Token
	table.Learn("main", "+4940777", "bob")
	aliases := map[string]string{"+49301234567": "bob"}
	for name, row := range map[string]struct {
		uri, headers string
		rule         string
		want         []string
	}{
		"alias whole":          {"sip:alice@203.0.113.2:4000;transport=tls;b=" + token, "", "token in parameter", []string{"alice2"}},
		"host reversed by ALG": {"sip:alice@192.168.1.2:5060;b=" + token, "", "token in parameter", []string{"alice2"}},
		"re-cased":             {"sip:ALICE@h;B=" + strings.ToUpper(token), "", "token in parameter", []string{"alice2"}},
		"token as user":        {"sip:" + token + "@h", "", "token in user", []string{"alice2"}},
		"parameters stripped":  {"sip:alice@h", "", "AOR user", []string{"alice1", "alice2"}},
		"token only in To":     {"sip:12345@h", "To: <sip:alice@h;b=" + token + ">\r\n", "token in To", []string{"alice2"}},
		"called party":         {"sip:12345@h", "P-Called-Party-ID: <sip:bob@example.com>\r\n", "P-Called-Party-ID user", []string{"bob"}},
		"To, not called":       {"sip:bob@h", "To: <sip:alice@example.com>\r\n", "AOR user", []string{"bob"}},
		"To alone":             {"sip:s@h", "To: <sip:bob@example.com>\r\n", "To user", []string{"bob"}},
		"number":               {"sip:+49301234567@h", "", "alias map", []string{"bob"}},
		"number, national":     {"sip:0301234567@h", "", "alias map", []string{"bob"}},
		"number, 00":           {"sip:0049301234567@h;user=phone", "", "alias map", []string{"bob"}},
		"learned":              {"sip:+4940777@h", "", "learned number", []string{"bob"}},
		"nobody":               {"sip:999@h", "", "sole account", nil},
		"token of another":     {"sip:carol@h;b=" + house["foreign"].Token, "", "sole account", nil},
	} {
		got := Find(Query{Upstream: "main", Request: invite(t, row.uri, row.headers), Aliases: aliases}, table)
		last := got.Steps[len(got.Steps)-1]
		if last.Rule != row.rule || len(got.Bindings) != len(row.want) {
			t.Errorf("%s: %s found %d, want %s with %v", name, got.Log(), len(got.Bindings), row.rule, row.want)
			continue
		}
		for _, w := range row.want {
			found := false
			for _, b := range got.Bindings {
				found = found || b == house[w]
			}
			if !found {
				t.Errorf("%s: %s is not among the phones", name, w)
			}
		}
	}
}

func TestLadderSoleAccount(t *testing.T) {
	table, _ := house()
	got := Find(Query{Upstream: "other", Request: invite(t, "sip:s@h", "")}, table)
	if len(got.Bindings) != 1 || got.Steps[len(got.Steps)-1].Rule != "sole account" {
		t.Errorf("%s", got.Log())
	}
}

// A known token without a phone is 480, not 404.
func TestLadderKnown(t *testing.T) {
	table, house := house()
	table.End(house["bob"])
	got := Find(Query{Upstream: "main", Request: invite(t, "sip:bob@h;b="+house["bob"].Token, "")}, table)
	if len(got.Bindings) != 0 || !got.Known {
		t.Errorf("%s: known %v", got.Log(), got.Known)
	}
}

func TestSameNumber(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"+49301234567", "0301234567", true},
		{"+49301234567", "0049301234567", true},
		{"+49 30 123-4567", "49301234567", true},
		{"+49301234567", "301234567", false},
		{"+49301234567", "0302234567", false},
		{"+49301234567", "+43301234567", false},
		{"+4912345", "012345", false},
		{"", "", false},
		{"alice", "alice", true},
	} {
		if got := SameNumber(row.a, row.b); got != row.want {
			t.Errorf("%s and %s: %v", row.a, row.b, got)
		}
	}
}
