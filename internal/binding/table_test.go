package binding

import (
	"net/netip"
	"regexp"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func claim(callID, uri, addr string) Claim {
	return Claim{
		Upstream: "main", User: "alice", Host: "Example.COM", CallID: callID, ContactURI: uri,
		ContactUser: userOf(uri), From: Source{Path: 1, Listener: "lan", Proto: "UDP", Addr: netip.MustParseAddrPort(addr)},
	}
}

// register makes the first contact of a claim live for a minute.
func register(t *Table, c Claim) *Binding {
	b := t.Contact(t.Reserve(c), 0)
	b.Live, b.URI, b.From, b.Upstream = true, c.ContactURI, c.From, start.Add(time.Minute)
	return b
}

func TestToken(t *testing.T) {
	table := NewTable([]byte("key"))
	form := regexp.MustCompile(`^[a-z][a-z0-9]{15}$`)
	a := register(table, claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060"))
	if !form.MatchString(a.Token) {
		t.Errorf("token %q", a.Token)
	}
	if again := register(table, claim("1", "sip:alice@10.0.0.9", "10.0.0.9:5060")); again != a {
		t.Error("a new Contact of the same identity has another binding")
	}
	if b := table.Contact(a.Series, 1); b.Token == a.Token {
		t.Error("two contacts share a token")
	}
	if register(NewTable([]byte("other")), claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060")).Token == a.Token {
		t.Error("the token does not depend on the key")
	}
}

// Who is who: design §2, identity of a registration.
func TestIdentity(t *testing.T) {
	instance := func(c Claim, id string) Claim { c.Instance = id; return c }
	for name, row := range map[string]struct {
		first, second Claim
		gone          bool // the first one's connection is closed
		same          bool
	}{
		"same Call-ID":                  {claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060"), claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060"), false, true},
		"same Call-ID, other address":   {claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060"), claim("1", "sip:alice@10.0.0.6", "10.0.0.6:5060"), false, true},
		"started again, same Contact":   {claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060"), claim("2", "sip:alice@10.0.0.5", "10.0.0.5:5060"), false, true},
		"second phone at one address":   {claim("1", "sip:alice@10.0.0.5:5060", "10.0.0.5:5060"), claim("2", "sip:alice@10.0.0.5:5062", "10.0.0.5:5062"), false, false},
		"second phone elsewhere":        {claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060"), claim("2", "sip:alice@10.0.0.6", "10.0.0.6:5060"), false, false},
		"instance survives a Call-ID":   {instance(claim("1", "sip:a@10.0.0.5", "10.0.0.5:5060"), "u"), instance(claim("2", "sip:a@10.0.0.6", "10.0.0.6:5060"), "u"), false, true},
		"two instances, one Call-ID":    {instance(claim("1", "sip:a@10.0.0.5", "10.0.0.5:5060"), "u"), instance(claim("1", "sip:a@10.0.0.5", "10.0.0.5:5060"), "v"), false, false},
		"instance and none":             {instance(claim("1", "sip:a@10.0.0.5", "10.0.0.5:5060"), "u"), claim("1", "sip:a@10.0.0.5", "10.0.0.5:5060"), false, false},
		"UDP phone at another port":     {claim("1", "sip:alice@10.0.0.5:1", "10.0.0.5:1"), claim("2", "sip:alice@10.0.0.5:2", "10.0.0.5:2"), true, false},
		"TCP phone that came back anew": {tcp(claim("1", "sip:alice@10.0.0.5:1", "10.0.0.5:1")), tcp(claim("2", "sip:alice@10.0.0.5:2", "10.0.0.5:2")), true, true},
	} {
		table := NewTable([]byte("key"))
		a := register(table, row.first)
		if row.gone {
			table.Closed(a.From.Path)
		}
		if same := table.Reserve(row.second) == a.Series; same != row.same {
			t.Errorf("%s: same series %v, want %v", name, same, row.same)
		}
	}
}

func tcp(c Claim) Claim {
	c.From.Proto = "TCP"
	return c
}

func TestExpire(t *testing.T) {
	table := NewTable([]byte("key"))
	b := register(table, claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060"))
	if got := table.NextEnd(); !got.Equal(start.Add(time.Minute)) {
		t.Errorf("next end %v", got)
	}
	if ended := table.Expire(start.Add(time.Minute - 1)); len(ended) != 0 || !b.Live {
		t.Error("ended before its time")
	}
	if ended := table.Expire(start.Add(time.Minute)); len(ended) != 1 || b.Live {
		t.Error("did not end in time")
	}
	if table.ByToken(b.Token) != b {
		t.Error("the token was forgotten at once")
	}
	table.Expire(start.Add(25*time.Hour + time.Minute))
	if table.ByToken(b.Token) != nil || len(table.byUser) != 0 || len(table.byCallID) != 0 {
		t.Error("a dead series was kept for more than a day")
	}
}

func TestSaveAndLoad(t *testing.T) {
	table := NewTable([]byte("key"))
	b := register(table, claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060"))
	b.Alias, b.Series.CSeq = "sip:alice@203.0.113.2:5060;b=x", 7
	data, err := table.Save()
	if err != nil {
		t.Fatal(err)
	}
	loaded := NewTable([]byte("key"))
	if err := loaded.Load(data); err != nil {
		t.Fatal(err)
	}
	got := loaded.ByToken(b.Token)
	if got == nil || !got.Live || got.Alias != b.Alias || got.URI != b.URI || got.From.Addr != b.From.Addr {
		t.Fatalf("loaded %+v", got)
	}
	if got.From.Path != 0 {
		t.Error("a path outlived the program")
	}
	if got.Series.CSeq <= b.Series.CSeq+100 {
		t.Error("CSeq may fall after a crash")
	}
	if loaded.Reserve(claim("1", "sip:alice@10.0.0.5", "10.0.0.5:5060")) != got.Series {
		t.Error("the phone is not recognised")
	}
	if err := loaded.Load([]byte("{")); err == nil {
		t.Error("a broken section was taken")
	}
}

func TestDialogBinding(t *testing.T) {
	table := NewTable([]byte("key"))
	from := Source{Path: 3, Addr: netip.MustParseAddrPort("10.0.0.5:5060")}
	b := table.Dialog("main", "bob", "sip:bob@10.0.0.5", from, start.Add(time.Hour))
	if table.Dialog("main", "bob", "sip:bob@10.0.0.5", from, start.Add(2*time.Hour)) != b {
		t.Error("the same contact has two bindings")
	}
	if len(table.ByUser("main", "bob")) != 0 || len(table.Live("main")) != 0 {
		t.Error("a transient binding is found by its user")
	}
	table.Expire(start.Add(time.Hour))
	if table.ByToken(b.Token) != b {
		t.Error("it ended before the longest of its dialogs")
	}
	table.Expire(start.Add(2 * time.Hour))
	if table.ByToken(b.Token) != nil {
		t.Error("it never ends")
	}
}
