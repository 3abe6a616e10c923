package app_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// What becomes of a message from the LAN: it is forwarded as it is, or answered,
// or nothing happens. closes says that it ends its connection.
type fate struct {
	udp, tcp string
	closes   bool
}

func same(s string) fate { return fate{udp: s, tcp: s} }

const (
	forwarded = "forwarded"
	silence   = ""
)

// torture is the table of RFC 4475 and 5118: what a proxy has to do.
var torture = map[string]fate{
	"rfc4475/wsinv":      same(forwarded),
	"rfc4475/intmeth":    same(forwarded),
	"rfc4475/esc01":      same(forwarded),
	"rfc4475/escnull":    same(forwarded),
	"rfc4475/esc02":      same(forwarded),
	"rfc4475/lwsdisp":    same(forwarded),
	"rfc4475/longreq":    same(forwarded),
	"rfc4475/dblreq":     {udp: forwarded, tcp: forwarded, closes: true}, // its second body is too long
	"rfc4475/semiuri":    same(forwarded),
	"rfc4475/transports": same(forwarded),
	"rfc4475/mpart01":    same(forwarded),
	"rfc4475/baddate":    same(forwarded),
	"rfc4475/invut":      same(forwarded),
	"rfc4475/regaut01":   same(forwarded),
	"rfc4475/cparam01":   same(forwarded),
	"rfc4475/cparam02":   same(forwarded),
	"rfc4475/regescrt":   same(forwarded),
	"rfc4475/sdp01":      same(forwarded),
	"rfc4475/inv2543":    {udp: forwarded, tcp: "400", closes: true},

	"rfc4475/badinv01":   same("400"),
	"rfc4475/clerr":      {udp: "400", tcp: silence, closes: true},
	"rfc4475/ncl":        {udp: "400", tcp: "400", closes: true},
	"rfc4475/scalar02":   same("400"),
	"rfc4475/quotbal":    same("400"),
	"rfc4475/ltgtruri":   same("400"),
	"rfc4475/lwsruri":    same("400"),
	"rfc4475/lwsstart":   same("400"),
	"rfc4475/trws":       same("400"),
	"rfc4475/escruri":    same("400"),
	"rfc4475/regbadct":   same("400"),
	"rfc4475/badaspec":   same("400"),
	"rfc4475/baddn":      {udp: "400", tcp: silence, closes: true}, // it has no end
	"rfc4475/wire/baddn": same("400"),
	"rfc4475/badvers":    same("505"),
	"rfc4475/mismatch01": same("400"),
	"rfc4475/mismatch02": same("400"),
	"rfc4475/badbranch":  same("400"),
	"rfc4475/insuf":      same("400"),
	"rfc4475/unksm2":     same("400"),
	"rfc4475/multi01":    same("400"),
	"rfc4475/mcl01":      {udp: "400", tcp: "400", closes: true},
	"rfc4475/unkscm":     same("416"),
	"rfc4475/novelsc":    same("416"),
	"rfc4475/bext01":     same("420"),
	"rfc4475/zeromf":     same("483"),

	"rfc4475/unreason": same(silence),
	"rfc4475/noreason": same(silence),
	"rfc4475/scalarlg": same(silence),
	"rfc4475/bigcode":  same(silence),
	"rfc4475/bcast":    same(silence),
	"rfc4475/test":     same(silence), // no SIP version: 400 or nothing

	"rfc5118/wire/ipv6-good":                     same(forwarded),
	"rfc5118/wire/ipv6-bad":                      same("400"),
	"rfc5118/wire/port-ambiguous":                same(forwarded),
	"rfc5118/wire/port-unambiguous":              same(forwarded),
	"rfc5118/wire/via-received-param-with-delim": same(forwarded),
	"rfc5118/wire/via-received-param-no-delim":   same(forwarded),
	"rfc5118/wire/ipv6-in-sdp":                   same(forwarded),
	"rfc5118/wire/mult-ip-in-header":             same(forwarded),
	"rfc5118/wire/mult-ip-in-sdp":                same(forwarded),
	"rfc5118/wire/ipv4-mapped-ipv6":              same(forwarded),
	"rfc5118/wire/ipv6-bug-abnf-3-colons":        same(forwarded),
	"rfc5118/wire/ipv6-correct-abnf-2-colons":    same(forwarded),
}

// Bad input: each message of RFC 4475 and 5118 gets what it deserves, over UDP
// and TCP, and the next phone does not notice.
func TestTorture(t *testing.T) {
	for name, want := range torture {
		raw, err := os.ReadFile("../message/testdata/" + name + ".dat")
		if err != nil {
			t.Fatal(err)
		}
		for proto, fate := range map[string]string{peer.UDP: want.udp, peer.TCP: want.tcp} {
			t.Run(name+" "+proto, func(t *testing.T) {
				live(t, plan{proto: peer.TCP, extra: upstreamFor(string(raw))}, func(w *world) {
					p := w.raw(w.phoneA, proto)
					w.must(p.SendBytes(raw))
					w.sleep(time.Second)
					w.fate(p, string(raw), fate)
					w.sleep(20 * time.Second)
					if proto == peer.TCP && want.closes == p.Flow().Alive() {
						t.Errorf("the connection is open: %v", p.Flow().Alive())
					}
					alice := w.phone(w.phoneA, "alice", proto)
					w.registered(alice, "alice")
					outside, inside := w.called(alice, "alice")
					w.over(outside, inside)
				})
			})
		}
	}
}

// upstreamFor configures an upstream for the domain that a request names.
func upstreamFor(raw string) string {
	if strings.Contains(raw, ":::") {
		raw = "x sip:example.com" // no domain can be called so: its From tells
	}
	uri := strings.Fields(raw + " x")[1]
	_, host, ok := strings.Cut(uri, "@")
	if !ok {
		_, host, _ = strings.Cut(uri, ":")
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	host, _, _ = strings.Cut(host, "?")
	host, _, _ = strings.Cut(strings.TrimSuffix(host, ">"), ";")
	if v6, rest, ok := strings.Cut(strings.TrimPrefix(host, "["), "]"); ok && rest != host {
		host = v6
	} else if strings.Count(host, ":") == 1 {
		host, _, _ = strings.Cut(host, ":")
	}
	if strings.ContainsAny(host, " /=+") || !strings.Contains(host, ".") && !strings.Contains(host, ":") {
		return ""
	}
	return fmt.Sprintf("[upstream.vector]\ndomain = %q\nserver = \"%s:5060\"\ntransport = \"tcp\"\n", host, wanSIP)
}

// fate fails unless what was wanted became of a message.
func (w *world) fate(p *peer.RawPhone, raw, want string) {
	w.t.Helper()
	var passed []*peer.Message
	for _, m := range w.prov.Received("") {
		if m.Method() != "ACK" && !strings.Contains(m.Get("from"), "sip:ping@") {
			passed = append(passed, m)
		}
	}
	if want == forwarded {
		if len(passed) == 0 {
			w.t.Fatalf("not forwarded\nlog:\n%s", w.log)
		}
		w.unchanged(raw, passed[0].Raw)
		return
	}
	got := silence
	for _, m := range p.Messages() {
		if !m.Sent {
			got = fmt.Sprint(m.Status())
		}
	}
	if got != want || len(passed) != 0 {
		w.t.Errorf("answered %q, want %q; %d forwarded", got, want, len(passed))
	}
}

// unchanged compares a request as it came and as it left, but for what is ours.
func (w *world) unchanged(sent, got string) {
	w.t.Helper()
	parts := func(raw string) (start string, header []string, body string) {
		head, body, _ := strings.Cut(raw, "\r\n\r\n")
		start, _, _ = strings.Cut(head, "\r\n")
		without := append(slices.Clone(ours), "v", "m", "i", "l")
		if strings.HasPrefix(raw, "REGISTER") {
			without = append(without, "CSeq")
		}
		return start, lines(&peer.Message{Raw: raw}, without...), body
	}
	start, header, body := parts(sent)
	gotStart, gotHeader, gotBody := parts(got)
	if start != gotStart || !slices.Equal(header, gotHeader) {
		w.t.Errorf("sent\n%s\ngot\n%s", sent, got)
	}
	if !strings.Contains(sent, "application/sdp") && body != gotBody && !strings.HasPrefix(body, gotBody+"\r\nINVITE") {
		w.t.Errorf("body %q became %q", body, gotBody)
	}
	if strings.Count(strings.ToLower(got), "\r\ncontent-length")+strings.Count(strings.ToLower(got), "\r\nl:") != 1 {
		w.t.Errorf("not one Content-Length in\n%s", got)
	}
}
