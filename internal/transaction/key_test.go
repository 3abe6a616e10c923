package transaction

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pinhole/internal/message"
)

const invite = `INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP Phone.example.com:5062;branch=z9hG4bK776asdhds;rport, SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKlower
From: <sip:alice@example.com>;tag=1928301774
To: <sip:bob@example.com>
Call-ID: a84b4c76e66710
CSeq: 314159 INVITE
Max-Forwards: 70
Content-Length: 0

`

// old is an INVITE of RFC 2543: no branch, no From tag.
const old = `INVITE sip:UserB@example.com SIP/2.0
Via: SIP/2.0/UDP iftgw.example.com
From: <sip:+13035551111@ift.client.example.net;user=phone>
To: sip:+16505552222@ss1.example.net;user=phone
Call-ID: inv2543.1717@ift.client.example.com
CSeq: 56 INVITE
Content-Length: 0

`

var phone = netip.MustParseAddrPort("192.168.1.20:5062")

// request parses base with replacements (old, new, …). That a branch is no
// identity is an error to message, which indexes it all the same.
func request(t *testing.T, base string, replace ...string) *message.Message {
	t.Helper()
	m, err := message.Parse(strings.NewReplacer(append(replace, "\n", "\r\n")...).Replace(base), message.Datagram)
	if err != nil && !strings.HasSuffix(err.Error(), "Bad Via Branch") {
		t.Fatal(err)
	}
	return m
}

func TestKey(t *testing.T) {
	asACK := []string{"INVITE sip", "ACK sip", "CSeq: 314159 INVITE", "CSeq: 314159 ACK", "CSeq: 56 INVITE", "CSeq: 56 ACK"}
	rows := []struct {
		name    string
		base    string
		replace []string
		from    netip.AddrPort
		same    bool // as the base from phone
	}{
		{"retransmission", invite, nil, phone, true},
		{"from another port", invite, nil, netip.MustParseAddrPort("192.168.1.20:40000"), true},
		{"mapped address", invite, nil, netip.MustParseAddrPort("[::ffff:192.168.1.20]:5062"), true},
		{"from another phone", invite, nil, netip.MustParseAddrPort("192.168.1.21:5062"), false},
		{"ACK of a non-2xx", invite, append(asACK, "bob@example.com>", "bob@example.com>;tag=99"), phone, true},
		{"sent-by in another case", invite, []string{"Phone.example.com", "PHONE.example.COM"}, phone, true},
		{"other lower Via", invite, []string{"z9hG4bKlower", "z9hG4bKother"}, phone, true},
		{"other Request-URI and Call-ID, same branch", invite, []string{"sip:bob@example.com SIP", "sip:carol@example.com SIP", "a84b", "b84b"}, phone, true},
		{"other branch", invite, []string{"776asdhds", "776asdhdS"}, phone, false},
		{"other sent-by host", invite, []string{"Phone.", "fone."}, phone, false},
		{"other sent-by port", invite, []string{":5062", ":5063"}, phone, false},
		{"other method", invite, []string{"INVITE sip", "MESSAGE sip", "314159 INVITE", "314159 MESSAGE"}, phone, false},
		{"its CANCEL has a transaction of its own", invite, []string{"INVITE sip", "CANCEL sip", "314159 INVITE", "314159 CANCEL"}, phone, false},

		{"2543: retransmission", old, nil, phone, true},
		{"2543: ACK, whose To tag is the answer's", old, append(asACK, "ss1.example.net;", "ss1.example.net;tag=7;"), phone, true},
		{"2543: other Request-URI", old, []string{"UserB@", "UserC@"}, phone, false},
		{"2543: other From tag", old, []string{"user=phone>", "user=phone>;tag=1"}, phone, false},
		{"2543: other Call-ID", old, []string{"inv2543.1717", "inv2543.1718"}, phone, false},
		{"2543: other CSeq", old, []string{"56 INVITE", "57 INVITE"}, phone, false},
		{"2543: other Via", old, []string{"iftgw.example.com", "iftgw.example.com;x"}, phone, false},
		{"2543: a branch that is only the cookie", old, []string{"iftgw.example.com", "iftgw.example.com;branch=z9hG4bK"}, phone, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			want, ok1 := KeyOf(request(t, r.base), phone)
			got, ok2 := KeyOf(request(t, r.base, r.replace...), r.from)
			if !ok1 || !ok2 || (got == want) != r.same {
				t.Errorf("same is %v, want %v\n%+v, %v\n%+v, %v", got == want, r.same, want, ok1, got, ok2)
			}
		})
	}
}

// TestKeyCookieOnly: such a branch must not be taken for an identity
// (RFC 4475 §3.2.1): two calls that carry it are two.
func TestKeyCookieOnly(t *testing.T) {
	for _, branch := range []string{"z9hG4bK", "1234", "z9hG4b", ""} {
		one, ok1 := KeyOf(request(t, invite, "z9hG4bK776asdhds", branch), phone)
		two, ok2 := KeyOf(request(t, invite, "z9hG4bK776asdhds", branch, "a84b", "b84b"), phone)
		if !ok1 || !ok2 || one == two {
			t.Errorf("branch %q: %+v, %v; %+v, %v", branch, one, ok1, two, ok2)
		}
	}
	lower, _ := KeyOf(request(t, invite, "z9hG4bK776", "z9hg4bk776"), phone)
	if strings.Contains(lower.id, " ") {
		t.Errorf("the cookie in lower case is not taken as one: %+v", lower)
	}
}

func TestCancelKey(t *testing.T) {
	asCANCEL := []string{"INVITE sip", "CANCEL sip", "314159 INVITE", "314159 CANCEL", "56 INVITE", "56 CANCEL"}
	for _, base := range []string{invite, old} {
		want, _ := KeyOf(request(t, base), phone)
		if got, ok := CancelKeyOf(request(t, base, asCANCEL...), phone); !ok || got != want {
			t.Errorf("%+v, %v, want %+v", got, ok, want)
		}
		if _, ok := CancelKeyOf(request(t, base), phone); ok {
			t.Error("an INVITE was taken as a CANCEL")
		}
		zero, _ := CancelKeyOf(request(t, base, asCANCEL...), netip.AddrPort{})
		any1, _ := KeyOf(request(t, base), netip.AddrPort{})
		if zero != any1 || zero == want {
			t.Errorf("without a source: %+v, %+v", zero, any1)
		}
	}
}

// TestKeyMissing: broken messages are indexed too, so that they can be answered.
func TestKeyMissing(t *testing.T) {
	for name, raw := range map[string]string{
		"empty":              "",
		"no Via":             "INVITE sip:a@b SIP/2.0\r\n\r\n",
		"broken Via":         "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0\r\n\r\n",
		"no branch, no more": "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n",
		"response":           "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n",
	} {
		m, _ := message.Parse(raw, message.Datagram)
		if m == nil {
			continue
		}
		if k, ok := KeyOf(m, phone); ok {
			t.Errorf("%s: %+v", name, k)
		}
	}
}

// TestKeyTorture: every request of RFC 4475 that can be read has a key.
func TestKeyTorture(t *testing.T) {
	files, err := filepath.Glob("../message/testdata/rfc4475/*.dat")
	if err != nil || len(files) == 0 {
		t.Fatal("no messages of RFC 4475", err)
	}
	read := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := message.Parse(string(raw), message.Datagram)
		if err != nil || !m.IsRequest() {
			continue
		}
		if _, ok := KeyOf(m, phone); !ok {
			t.Errorf("%s has no key", file)
		}
		read++
	}
	if read < 20 {
		t.Errorf("only %d requests were read", read)
	}
}

func TestKeyAllocs(t *testing.T) {
	m := request(t, invite, "Phone.", "phone.")
	table := map[Key]int{}
	if n := testing.AllocsPerRun(100, func() {
		k, _ := KeyOf(m, phone)
		table[k]++
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
