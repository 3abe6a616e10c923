package auth

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	rows := []struct{ name, in, want string }{
		{"nothing", "", ""},
		{
			"what is to be kept",
			"REGISTER sip:alice@192.168.1.2:5060;transport=tcp SIP/2.0\r\nContact: <sip:a@[2001:db8::1]:5060>;expires=60\r\nExpires: 60\r\na=rtpmap:0 PCMU/8000\r\nk: v disk=5 k=v",
			"REGISTER sip:alice@192.168.1.2:5060;transport=tcp SIP/2.0\r\nContact: <sip:a@[2001:db8::1]:5060>;expires=60\r\nExpires: 60\r\na=rtpmap:0 PCMU/8000\r\nk: v disk=5 k=v",
		},
		{
			"digest credentials",
			`Authorization: Digest username="alice", realm="r", nonce="NN", uri="sip:r", response="RR", cnonce="CC", nc=00000001, qop=auth`,
			`Authorization: Digest username="alice", realm="r", nonce="***", uri="sip:r", response="***", cnonce="***", nc=00000001, qop=auth`,
		},
		{
			"a challenge, folded, odd case, blanks, no quotes",
			"WWW-Authenticate: Digest realm=\"r\",\r\n NONCE = NN,stale=true\r\nAuthentication-Info: nextnonce=\"N2\", rspauth=\r\n \"RR\"\r\nTo: x",
			"WWW-Authenticate: Digest realm=\"r\",\r\n NONCE = ***,stale=true\r\nAuthentication-Info: nextnonce=\"***\", rspauth=\r\n \"***\"\r\nTo: x",
		},
		{
			"a quote in a value",
			`nonce="a\"b, c", response="d\\", realm="r"`,
			`nonce="***", response="***", realm="r"`,
		},
		{"an open quote", "response=\"abc, realm=r\r\n nonce=\r\nnonce=\"NN\"", "response=\"***\r\nnonce=\"***\""},
		{"an empty value", `nonce="", response=, realm=r`, `nonce="", response=, realm=r`},
		{
			"other schemes, to the end of the line",
			"Proxy-Authorization: Bearer eyJ.x.y\r\n more\r\nauthorization:Basic YTpi\nAuthorization: raw \r\nAuthorization: a=b\r\nTo: x",
			"Proxy-Authorization: Bearer ***\r\nauthorization:Basic ***\nAuthorization: ***\r\nAuthorization: ***\r\nTo: x",
		},
		{
			"an empty header does not hide the next",
			"Authorization:\r\nVia: SIP/2.0/UDP h\r\nnonce=\r\nTo: x",
			"Authorization:\r\nVia: SIP/2.0/UDP h\r\nnonce=\r\nTo: x",
		},
		{
			"keys in SDP",
			"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY+/=|2^20|1:4 UNENCRYPTED_SRTP\r\na=ice-ufrag:uf\r\na=ice-pwd:PW\r\na=key-mgmt:mikey KK\r\nk=base64:KK\r\nm=audio 1 RTP/SAVP 0",
			"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\r\na=ice-ufrag:uf\r\na=ice-pwd:***\r\na=key-mgmt:***\r\nk=***\r\nm=audio 1 RTP/SAVP 0",
		},
		{"passwords in URIs", `To: <sip:alice:PW@h:5060>, <SIPS:b:p%40:w;x@h>`, `To: <sip:alice:***@h:5060>, <SIPS:b:***@h>`},
		{
			"hosts with ports are not",
			`sip:h:5060, sip:b@h:5061 sip:[::1]:5060;lr <sip:h:5060>;x=a@b`,
			`sip:h:5060, sip:b@h:5061 sip:[::1]:5060;lr <sip:h:5060>;x=a@b`,
		},
		{
			"log lines and settings",
			`level=INFO password=PW turn_secret="S T" aor=a@b access_token=TT passwd = PP auth="response=RR"`,
			`level=INFO password=*** turn_secret="***" aor=a@b access_token=*** passwd = *** auth="response=***"`,
		},
		{
			"line ends and folds that were written out",
			`msg="nonce=\"N\", realm=\"r\"" msg="Authorization: Bearer a\r\n b\r\n\tc\r\nk=clear:K\nTo: x" nonce=N`,
			`msg="nonce=\"***\", realm=\"r\"" msg="Authorization: Bearer ***\r\nk=***\nTo: x" nonce=***`,
		},
		{
			"JSON",
			`{"Nonce":"NN","Password" : "P\"W","realm":"r","authorization":"Bearer tt"}`,
			`{"Nonce":"***","Password" : "***","realm":"r","authorization":"Bearer ***`,
		},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := Redact(r.in); got != r.want {
				t.Errorf("got  %q\nwant %q", got, r.want)
			}
			if got := Redact(r.want); got != r.want {
				t.Errorf("redacted again: %q", got)
			}
		})
	}
}

// A whole message with every kind of secret, each marked.
const secretMessage = "INVITE sip:bob:SECRET@example.com SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkept\r\n" +
	"Authorization: Digest username=\"kept\", realm=\"kept\", nonce=\"SECRET\",\r\n response=\"SE\\\"SECRET\", cnonce=SECRET, uri=\"sip:kept\"\r\n" +
	"Proxy-Authorization: Bearer SECRET\r\n" +
	"Content-Type: application/sdp\r\n" +
	"\r\n" +
	"v=0\r\nk=clear:SECRET\r\na=ice-pwd:SECRET\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET|2^20\r\n" +
	"m=audio 4000 RTP/SAVP 0 kept\r\n"

// TestRedactQuoted: a message that was put in quotes, once or twice, as loggers
// do, hides as much.
func TestRedactQuoted(t *testing.T) {
	text := secretMessage
	for level := range 3 {
		got := Redact("msg=" + text)
		if strings.Contains(got, "SECRET") {
			t.Errorf("quoted %d times: %s", level, got)
		}
		if n := strings.Count(got, "kept"); n != 5 {
			t.Errorf("quoted %d times: kept %d of 5: %s", level, n, got)
		}
		if level == 0 {
			text = strconv.Quote(text)
			continue
		}
		raw, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		text = string(raw)
	}
}

func TestRedactAllocs(t *testing.T) {
	const line = "level=INFO msg=\"flow up\" upstream=main local=192.0.2.1:5060 contact=sip:alice@h:5060"
	if n := testing.AllocsPerRun(100, func() {
		if Redact(line) != line {
			t.Error("changed")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzRedact: whatever stands before, a message's secrets are masked, and what
// is masked stays as it is.
func FuzzRedact(f *testing.F) {
	f.Add("")
	f.Add(`nonce="`)
	f.Add(`{"response":"\\\"`)
	f.Add("Authorization: x")
	f.Add("sip:a:b")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "SECRET") {
			t.Skip()
		}
		got := Redact(s + "\r\n" + secretMessage)
		if strings.Contains(got, "SECRET") {
			t.Fatalf("%q: %q", s, got)
		}
		once := Redact(s)
		if again := Redact(once); again != once {
			t.Fatalf("%q: %q, again %q", s, once, again)
		}
	})
}
