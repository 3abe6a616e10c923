package auth

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParseCredentials(t *testing.T) {
	rows := []struct {
		name string
		in   string
		want Credentials
		err  string
	}{
		{
			name: "usual",
			in: `Digest username="alice", realm="example.com", nonce="n", uri="sip:example.com", response="r", ` +
				`cnonce="c", nc=0000001f, qop=auth, algorithm=MD5-sess, opaque="o"`,
			want: Credentials{
				Scheme: "Digest", Username: "alice", Realm: "example.com", Nonce: "n", URI: "sip:example.com", Response: "r",
				CNonce: "c", NC: 31, QOP: "auth", Algorithm: "MD5-sess", Opaque: "o",
			},
		},
		{
			name: "quotes where none belong, none where they belong",
			in:   `Digest username=alice,nc="00000002",qop="auth",userhash="true",uri=sip:h;x=1`,
			want: Credentials{Scheme: "Digest", Username: "alice", NC: 2, QOP: "auth", Userhash: true, URI: "sip:h;x=1"},
		},
		{
			name: "a name in UTF-8",
			in:   `Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm="r"`,
			want: Credentials{Scheme: "Digest", Username: "Jäsøn Doe", Realm: "r"},
		},
		{
			name: "a name in another charset, or broken, is kept",
			in:   `Digest username*=ISO-8859-1''J%E4s, realm="r"`,
			want: Credentials{Scheme: "Digest", Username: "ISO-8859-1''J%E4s", Realm: "r"},
		},
		{
			name: "broken percent signs",
			in:   `Digest username*=UTF-8''%zz`,
			want: Credentials{Scheme: "Digest", Username: "UTF-8''%zz"},
		},
		{
			name: "bad counts are none",
			in:   `Digest nc=1ffffffff, realm="r"`,
			want: Credentials{Scheme: "Digest", Realm: "r"},
		},
		{
			name: "of repeated parameters the first counts",
			in:   `Digest username="a", username="b", nc=1, nc=2`,
			want: Credentials{Scheme: "Digest", Username: "a", NC: 1},
		},
		{
			name: "a bearer",
			in:   `Bearer eyJhbGciOi.J9==`,
			want: Credentials{Scheme: "Bearer"},
		},
		{name: "nothing", in: "", err: "reading credentials: no authentication scheme"},
		{name: "no scheme", in: `username="a"`, err: "reading credentials: no authentication scheme"},
		{name: "open quote", in: `Digest username="a`, err: "reading credentials: quote not closed"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got, err := ParseCredentials(r.in)
			if got != r.want || errText(err) != r.err {
				t.Errorf("got  %#v, %v\nwant %#v, %s", got, err, r.want, r.err)
			}
			if got.Digest() != (got.Scheme == "Digest") {
				t.Errorf("scheme %q: Digest is %v", got.Scheme, got.Digest())
			}
		})
	}
}

// TestCredentialsPrinted: no way of printing them shows what could be replayed
// or cracked.
func TestCredentialsPrinted(t *testing.T) {
	c, err := ParseCredentials(`Digest username="alice", realm="r", nonce="NONCE", response="RESPONSE", cnonce="CNONCE"`)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %s %v\n", c, c, c, []Credentials{c})
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "credentials", c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "credentials", c)
	var w Watch
	fmt.Fprintf(&out, "%+v %#v", w.Sent("REGISTER", []Credentials{c}), w)
	for _, secret := range []string{"NONCE", "RESPONSE", "CNONCE"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s is shown:\n%s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), `Digest username="alice" realm="r"`) {
		t.Errorf("nothing is shown:\n%s", out.String())
	}
}

func FuzzParseCredentials(f *testing.F) {
	f.Add(`Digest username="alice", realm="example.com", nonce="n", uri="sip:example.com", response="r", cnonce="c", nc=00000001, qop=auth`)
	f.Add(`Digest username*=UTF-8''J%C3%A4s`)
	f.Add("Bearer a.b==")
	f.Fuzz(func(t *testing.T, v string) {
		c, err := ParseCredentials(v)
		if err != nil && c != (Credentials{}) || err == nil && c.Scheme == "" {
			t.Fatalf("%q: %#v, %v", v, c, err)
		}
		for _, part := range []string{c.Scheme, c.QOP, c.Algorithm} {
			if len(part) > len(v) {
				t.Fatalf("%q: %#v", v, c)
			}
		}
	})
}
