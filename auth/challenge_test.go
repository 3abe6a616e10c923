package auth

import (
	"reflect"
	"strings"
	"testing"

	"pinhole/internal/message"
)

func TestParseChallenges(t *testing.T) {
	rows := []struct {
		name string
		in   string
		want []Challenge // without Raw, which must be in where it is ""
		err  string
	}{
		{
			name: "usual",
			in:   `Digest realm="example.com", nonce="n1", algorithm=MD5, qop="auth,auth-int", opaque="o", stale=FALSE`,
			want: []Challenge{{Scheme: "Digest", Realm: "example.com", Nonce: "n1", Algorithm: "MD5", QOP: "auth,auth-int", Opaque: "o"}},
		},
		{
			name: "RFC 2069 style, stale quoted, names in odd case, no blanks",
			in:   `digest REALM="r",Nonce="n",sTaLe="True"`,
			want: []Challenge{{Scheme: "digest", Realm: "r", Nonce: "n", Stale: true}},
		},
		{
			name: "folded, blanks round the signs",
			in:   "Digest\r\n realm = \"a\r\n b\" ,\r\n\tnonce= \"n\"",
			want: []Challenge{{Scheme: "Digest", Realm: "a\r\n b", Nonce: "n"}},
		},
		{
			name: "quoted-pairs, commas, signs and schemes inside quotes",
			in:   `Digest realm="say \"Digest realm=x, nonce=y\"", nonce="a,b=c\\"`,
			want: []Challenge{{Scheme: "Digest", Realm: `say "Digest realm=x, nonce=y"`, Nonce: `a,b=c\`}},
		},
		{
			name: "of repeated parameters the first counts",
			in:   `Digest realm="a", realm="b", nonce="n", nonce="m"`,
			want: []Challenge{{Scheme: "Digest", Realm: "a", Nonce: "n"}},
		},
		{
			name: "missing commas, empty items, a parameter without a value, a stray quote",
			in:   `Digest realm="a" nonce="n",, ,auts , "stray", algorithm=MD5,`,
			want: []Challenge{{Scheme: "Digest", Realm: "a", Nonce: "n", Algorithm: "MD5"}},
		},
		{
			name: "an unquoted realm with a blank",
			in:   `Digest realm=my pbx, nonce=n`,
			want: []Challenge{{Scheme: "Digest", Realm: "my pbx", Nonce: "n"}},
		},
		{
			name: "several joined, which is forbidden and done",
			in:   `Digest realm="a", nonce="n", algorithm=SHA-256 , Digest realm="b", nonce="m",Bearer realm="c", scope="x"`,
			want: []Challenge{
				{Scheme: "Digest", Realm: "a", Nonce: "n", Algorithm: "SHA-256", Raw: `Digest realm="a", nonce="n", algorithm=SHA-256`},
				{Scheme: "Digest", Realm: "b", Nonce: "m", Raw: `Digest realm="b", nonce="m"`},
				{Scheme: "Bearer", Realm: "c", Raw: `Bearer realm="c", scope="x"`},
			},
		},
		{name: "unknown scheme with a blob", in: "NTLM TlRMTVNTUAAB==", want: []Challenge{{Scheme: "NTLM"}}},
		{name: "unknown scheme alone", in: "Negotiate", want: []Challenge{{Scheme: "Negotiate"}}},
		{name: "nothing", in: "", err: "reading challenge: no authentication scheme"},
		{name: "blanks", in: " \t ", err: "reading challenge: no authentication scheme"},
		{name: "no scheme", in: `realm="a", nonce="n"`, err: "reading challenge: no authentication scheme"},
		{name: "a sign first", in: `="a"`, err: "reading challenge: no authentication scheme"},
		{name: "open quote", in: `Digest realm="a, nonce=n`, err: "reading challenge: quote not closed"},
		{name: "open quote after a backslash", in: `Digest realm="a\"`, err: "reading challenge: quote not closed"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			before := []Challenge{{Scheme: "before"}}
			got, err := ParseChallenges(before, r.in)
			if msg := errText(err); msg != r.err {
				t.Fatalf("error %q, want %q", msg, r.err)
			}
			want := append([]Challenge{}, before...)
			for _, c := range r.want {
				if c.Raw == "" {
					c.Raw = r.in
				}
				want = append(want, c)
			}
			for i := range got {
				got[i].Raw = strings.TrimRight(got[i].Raw, ", ")
			}
			for i := range want {
				want[i].Raw = strings.TrimRight(want[i].Raw, ", ")
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestOffers(t *testing.T) {
	c := Challenge{Scheme: "DIGEST", QOP: "Auth, auth-int"}
	if !c.Digest() || !c.Offers("auth") || !c.Offers("auth-int") || c.Offers("auth-conf") || (Challenge{}).Offers("auth") {
		t.Errorf("%+v", c)
	}
}

// TestOfMessage: the lines of a message in their order, a broken one among them.
func TestOfMessage(t *testing.T) {
	m, err := message.Parse(strings.ReplaceAll(`SIP/2.0 401 Unauthorized
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
From: <sip:a@b>;tag=1
To: <sip:a@b>;tag=2
Call-ID: c
CSeq: 1 REGISTER
WWW-Authenticate: Digest realm="a", nonce="n", algorithm=SHA-256
Proxy-Authenticate: Digest realm="p", nonce="q"
WWW-Authenticate: Digest realm="open
WWW-Authenticate: Digest realm="a", nonce="m"
Content-Length: 0

`, "\n", "\r\n"), message.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	want := []Challenge{
		{Scheme: "Digest", Realm: "a", Nonce: "n", Algorithm: "SHA-256", Raw: `Digest realm="a", nonce="n", algorithm=SHA-256`},
		{Scheme: "Digest", Realm: "p", Nonce: "q", Proxy: true, Raw: `Digest realm="p", nonce="q"`},
		{Raw: `Digest realm="open`},
		{Scheme: "Digest", Realm: "a", Nonce: "m", Raw: `Digest realm="a", nonce="m"`},
	}
	if got := ChallengesOf(m); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := CredentialsOf(m); got != nil {
		t.Errorf("credentials: %+v", got)
	}

	m, err = message.Parse(strings.ReplaceAll(`REGISTER sip:b SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
From: <sip:a@b>;tag=1
To: <sip:a@b>
Call-ID: c
CSeq: 2 REGISTER
Proxy-Authorization: Digest username="u", realm="p"
Authorization: NoOneKnowsThisScheme opaque-data=here
Authorization: "
Content-Length: 0

`, "\n", "\r\n"), message.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	wantC := []Credentials{
		{Scheme: "Digest", Username: "u", Realm: "p", Proxy: true},
		{Scheme: "NoOneKnowsThisScheme"},
		{},
	}
	if got := CredentialsOf(m); !reflect.DeepEqual(got, wantC) {
		t.Errorf("got  %#v\nwant %#v", got, wantC)
	}
	if got := ChallengesOf(m); got != nil {
		t.Errorf("challenges: %+v", got)
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Digest realm="example.com", nonce="n1", algorithm=MD5, qop="auth,auth-int", opaque="o", stale=true`)
	f.Add("Digest realm=\"a\", nonce=\"n\" , Digest\r\n realm=b,Bearer realm=\"c\"")
	f.Add("NTLM TlRMTVNTUAAB==")
	f.Add(`"="`)
	f.Fuzz(func(t *testing.T, v string) {
		all, err := ParseChallenges(nil, v)
		if (err != nil) != (all == nil) {
			t.Fatalf("%q: %+v, %v", v, all, err)
		}
		at := 0
		for _, c := range all {
			i := strings.Index(v[at:], c.Raw)
			if c.Scheme == "" || !strings.HasPrefix(c.Raw, c.Scheme) || i < 0 {
				t.Fatalf("%q: %+v is not a part of it", v, c)
			}
			at += i + len(c.Raw)
			alone, err := ParseChallenges(nil, c.Raw)
			if err != nil || len(alone) != 1 || alone[0] != c {
				t.Fatalf("%q: %+v alone is %+v, %v", v, c, alone, err)
			}
		}
	})
}
