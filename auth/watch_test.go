package auth

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// exchange is one request and its final answer. with and challenge are written
// "realm nonce [stale|algorithm]", several with commas between; user is alice.
type exchange struct {
	method    string
	with      string
	status    int
	challenge string
	code      string // of the diagnosis, "" for none
}

// play sends the exchanges a minute apart and compares the codes.
func play(t *testing.T, w *Watch, exchanges []exchange) {
	t.Helper()
	now := t0
	for i, x := range exchanges {
		now = now.Add(time.Minute)
		d, ok := ask(w, now, x)
		if d.Code != x.code || ok != (x.code != "") {
			t.Fatalf("exchange %d, %+v: diagnosis %+v, %v", i, x, d, ok)
		}
	}
}

func ask(w *Watch, now time.Time, x exchange) (Diagnosis, bool) {
	a := w.Sent(x.method, credentials(x.with))
	return w.Received(now, a, Answer{Status: x.status, Challenges: challenges(x.challenge)})
}

func credentials(s string) (all []Credentials) {
	for _, c := range challenges(s) {
		all = append(all, Credentials{Scheme: "Digest", Username: "alice", Realm: c.Realm, Nonce: c.Nonce, Response: "SECRET"})
	}
	return all
}

func challenges(s string) (all []Challenge) {
	if s == "" {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		f := append(strings.Fields(part), "", "")
		c := Challenge{Scheme: "Digest", Realm: f[0], Nonce: f[1], Stale: f[2] == "stale"}
		if !c.Stale {
			c.Algorithm = f[2]
		}
		all = append(all, c)
	}
	return all
}

func TestWatch(t *testing.T) {
	rows := []struct {
		name      string
		exchanges []exchange
	}{
		{"a good phone says nothing", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 200, "", ""},
			{"REGISTER", "r n1", 401, "r n2 stale", ""},
			{"REGISTER", "r n2", 200, "", ""},
			{"INVITE", "", 407, "r n3", ""},
			{"INVITE", "r n3", 486, "", ""},
		}},
		{"a registrar that forgets stale, for ever", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 200, "", ""},
			{"REGISTER", "r n1", 401, "r n2", ""},
			{"REGISTER", "r n2", 200, "", ""},
			{"REGISTER", "r n2", 401, "r n3", ""},
			{"REGISTER", "r n3", 200, "", ""},
		}},
		{"a phone that starts without credentials each time", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 200, "", ""},
			{"REGISTER", "", 401, "r n2", ""},
			{"REGISTER", "r n2", 200, "", ""},
			{"REGISTER", "", 401, "r n3", ""},
			{"REGISTER", "r n3", 200, "", ""},
			{"REGISTER", "", 401, "r n4", ""},
			{"REGISTER", "r n4", 200, "", ""},
		}},
		{"401 loop: told once, and that it is over", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 401, "r n2", ""},
			{"REGISTER", "r n2", 401, "r n3", AuthLoop},
			{"REGISTER", "r n3", 401, "r n4", ""},
			{"REGISTER", "r n4", 200, "", Recovered},
			{"REGISTER", "r n4", 200, "", ""},
			{"REGISTER", "r n4", 401, "r n5", ""},
			{"REGISTER", "r n5", 401, "r n6", AuthLoop},
		}},
		{"401 loop of a phone that gives up after each refusal", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 401, "r n2", ""},
			{"REGISTER", "", 401, "r n3", ""},
			{"REGISTER", "r n3", 401, "r n4", AuthLoop},
		}},
		{"401 loop with one nonce, two algorithms", []exchange{
			{"REGISTER", "", 401, "r n1 SHA-256,r n1 MD5", ""},
			{"REGISTER", "r n1", 401, "r n1 SHA-256,r n1 MD5", ""},
			{"REGISTER", "r n1", 401, "r n1 SHA-256,r n1 MD5", AuthLoop},
		}},
		{"401 loop where the second of two nonces is answered", []exchange{
			{"REGISTER", "", 401, "r n1 SHA-256,r m1 MD5", ""},
			{"REGISTER", "r m1", 401, "r n2 SHA-256,r m2 MD5", ""},
			{"REGISTER", "r m2", 401, "r n3 SHA-256,r m3 MD5", AuthLoop},
		}},
		{"a refusal without any challenge counts too", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 401, "", ""},
			{"REGISTER", "", 401, "r n2", ""},
			{"REGISTER", "r n2", 401, "", AuthLoop},
		}},
		{"a refusal between is another story", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 401, "r n2", ""},
			{"REGISTER", "r n2", 503, "", ""},
			{"REGISTER", "r n2", 401, "r n3", ""},
			{"REGISTER", "r n3", 401, "r n4", AuthLoop},
		}},
		{"loops of calls and of registrations are two", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 401, "r n2", ""},
			{"INVITE", "", 407, "r c1", ""},
			{"INVITE", "r c1", 407, "r c2", ""},
			{"INVITE", "r c2", 407, "r c3", AuthLoop},
			{"REGISTER", "r n2", 200, "", ""},
			{"INVITE", "r c3", 200, "", Recovered},
		}},
		{"another realm", []exchange{
			{"REGISTER", "old n0", 401, "r n1", ""},
			{"REGISTER", "old n1", 401, "r n2", RealmDiffers},
			{"REGISTER", "old n2", 401, "r n3", ""},
			{"REGISTER", "r n3", 200, "", Recovered},
		}},
		{"a nonce that is always stale", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 401, "r n2 stale", ""},
			{"REGISTER", "r n2", 401, "r n3 stale", ""},
			{"REGISTER", "r n3", 401, "r n4 stale", ""},
			{"REGISTER", "r n4", 401, "r n5 stale", StaleLoop},
			{"REGISTER", "r n5", 401, "r n6 stale", ""},
			{"REGISTER", "r n6", 200, "", Recovered},
		}},
		{"a phone without a password", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "", 401, "r n2", ""},
			{"REGISTER", "", 401, "r n3", ChallengeIgnored},
			{"REGISTER", "", 401, "r n4", ""},
			{"REGISTER", "r n4", 200, "", Recovered},
		}},
		{"a phone that answers in between", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "", 401, "r n2", ""},
			{"REGISTER", "r n2", 500, "", ""},
			{"REGISTER", "", 401, "r n3", ""},
		}},
		{"a registrar that calls nothing at all stale", []exchange{
			{"REGISTER", "", 401, "r n1 stale", ""},
			{"REGISTER", "", 401, "r n2 stale", ""},
			{"REGISTER", "", 401, "r n3 stale", ChallengeIgnored},
			{"REGISTER", "", 401, "r n4 stale", ""},
		}},
		{"no nonce is no answer", []exchange{
			{"REGISTER", "r", 401, "r n1", ""},
			{"REGISTER", "r", 401, "r n2", ""},
		}},
		{"a phone that keeps an old nonce", []exchange{
			{"REGISTER", "r n0", 401, "r n1", ""},
			{"REGISTER", "r n0", 401, "r n2", ""},
			{"REGISTER", "r n0", 401, "r n3", ChallengeIgnored},
		}},
		{"no phone answers for SUBSCRIBE", []exchange{
			{"SUBSCRIBE", "", 401, "r n1", ""},
			{"SUBSCRIBE", "", 401, "r n2", ""},
			{"SUBSCRIBE", "", 401, "r n3", ""},
			{"SUBSCRIBE", "", 403, "", ""},
			{"SUBSCRIBE", "", 405, "", ""},
			{"MESSAGE", "", 404, "", ""},
			{"OPTIONS", "", 488, "", ""},
		}},
		{"but a wrong answer is told", []exchange{
			{"MESSAGE", "", 401, "r n1", ""},
			{"MESSAGE", "r n1", 401, "r n2", ""},
			{"MESSAGE", "r n2", 401, "r n3", AuthLoop},
			{"MESSAGE", "r n3", 202, "", Recovered},
		}},
		{"407 to REGISTER from a stranger, once", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 407, "fw m1", ProxyAsks},
			{"REGISTER", "r n1,fw m1", 200, "", ""},
			{"REGISTER", "", 407, "fw m2", ""},
			{"REGISTER", "fw m2", 200, "", ""},
		}},
		{"407 by both", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 407, "fw m1", ProxyAsks},
			{"REGISTER", "", 407, "fw m2", ""},
			{"REGISTER", "fw m2", 407, "r n3", ""},
		}},
		{"407 to the first REGISTER", []exchange{
			{"REGISTER", "", 407, "fw n1", ProxyAsks},
		}},
		{"407 by the provider itself", []exchange{
			{"REGISTER", "", 407, "example.com n1", ""},
			{"REGISTER", "example.com n1", 200, "", ""},
			{"INVITE", "", 407, "anything n2", ""},
		}},
		{"407 of the registrar's own realm", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "", 407, "r n2", ""},
		}},
		{"403 after an answer, told once", []exchange{
			{"REGISTER", "", 401, "r n1", ""},
			{"REGISTER", "r n1", 403, "", WrongPassword},
			{"REGISTER", "", 401, "r n2", ""},
			{"REGISTER", "r n2", 403, "", ""},
			{"REGISTER", "", 200, "", Recovered},
		}},
		{"403 at once", []exchange{
			{"REGISTER", "", 403, "", Forbidden},
			{"REGISTER", "", 403, "", ""},
		}},
		{"403 to a call", []exchange{
			{"INVITE", "r n", 403, "", CallForbidden},
			{"INVITE", "", 403, "", ""},
			{"INVITE", "", 404, "", ""},
			{"INVITE", "", 180, "", ""},
			{"INVITE", "", 200, "", Recovered},
		}},
		{"404", []exchange{{"REGISTER", "", 404, "", UnknownUser}, {"REGISTER", "r n", 404, "", ""}}},
		{"405", []exchange{{"REGISTER", "", 405, "", NoRegistrar}, {"REGISTER", "", 501, "", ""}}},
		{"501", []exchange{{"REGISTER", "", 501, "", NoRegistrar}, {"INVITE", "", 501, "", ""}}},
		{"423 without a floor", []exchange{{"REGISTER", "", 423, "", IntervalTooBrief}, {"REGISTER", "", 423, "", ""}}},
		{"488", []exchange{{"INVITE", "", 488, "", MediaRefused}, {"INVITE", "", 606, "", ""}, {"REGISTER", "", 488, "", ""}}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			w := NewWatch("sip:alice@example.com", "main")
			play(t, &w, r.exchanges)
		})
	}
}

// TestWatchMemory: refusals are one story within an hour.
func TestWatchMemory(t *testing.T) {
	for apart, code := range map[time.Duration]string{time.Hour: AuthLoop, time.Hour + 1: ""} {
		w := NewWatch("sip:alice@example.com", "main")
		ask(&w, t0, exchange{"REGISTER", "", 401, "r n1", ""})
		ask(&w, t0, exchange{"REGISTER", "r n1", 401, "r n2", ""})
		if d, _ := ask(&w, t0.Add(apart), exchange{"REGISTER", "r n2", 401, "r n3", ""}); d.Code != code {
			t.Errorf("%v apart: %q, want %q", apart, d.Code, code)
		}
	}
}

// TestWatchFloor: a 423 is news when its floor is.
func TestWatchFloor(t *testing.T) {
	w := NewWatch("sip:alice@example.com", "main")
	for i, x := range []struct {
		status int
		floor  uint32
		code   string
	}{
		{423, 600, IntervalTooBrief}, {423, 600, ""}, {200, 0, ""}, {423, 600, ""}, {423, 900, IntervalTooBrief}, {200, 0, ""},
	} {
		d, _ := w.Received(t0, w.Sent("REGISTER", nil), Answer{Status: x.status, MinExpires: x.floor})
		if d.Code != x.code {
			t.Errorf("answer %d: %q, want %q", i, d.Code, x.code)
		}
	}
}

// TestWatchRandom: nothing is told twice between two successes, whatever comes;
// secrets never.
func TestWatchRandom(t *testing.T) {
	methods := []string{"REGISTER", "REGISTER", "INVITE", "MESSAGE"}
	with := []string{"", "", "r SECRET1", "r SECRET2", "q SECRET1"}
	asked := []string{"r SECRET1", "r SECRET2", "r SECRET1 stale", "q SECRET2", ""}
	statuses := []int{100, 200, 401, 401, 401, 403, 404, 405, 407, 486, 488, 501, 503, 606}
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := NewWatch("sip:alice@example.com", "main")
		told := map[string]bool{}
		for range 60 {
			x := exchange{
				methods[r.IntN(len(methods))], with[r.IntN(len(with))],
				statuses[r.IntN(len(statuses))], asked[r.IntN(len(asked))], "",
			}
			d, ok := ask(&w, t0, x)
			key := d.Code + " " + x.method
			switch {
			case ok != (d.Code != "" && d.Cause != ""):
				t.Fatalf("seed %d: %+v: %+v, %v", seed, x, d, ok)
			case strings.Contains(d.Cause+d.Remedy, "SECRET"):
				t.Fatalf("seed %d: %+v", seed, d)
			case ok && told[key]:
				t.Fatalf("seed %d: %+v: told again: %+v", seed, x, d)
			case x.status/100 == 2:
				maps.DeleteFunc(told, func(k string, _ bool) bool { return strings.HasSuffix(k, x.method) })
				continue
			}
			told[key] = d.Code != ProxyAsks // one for each realm
		}
	}
}
