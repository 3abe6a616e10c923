package proxy

import (
	"strings"
	"time"

	"pinhole/auth"
	"pinhole/internal/message"
	"pinhole/internal/transport"
	"pinhole/rewrite"
)

// mostWatches bounds how many phones' refusals are followed at a time.
const mostWatches = 4096

// watch returns what is known of how an upstream answers the sender of a
// request.
func (c *Core) watch(up *upstream, m *message.Message) *auth.Watch {
	uri, _ := rewrite.HeaderURI(m, message.From)
	aor := "sip:" + uri.User + "@" + strings.ToLower(uri.Host)
	key := up.Name + " " + aor
	w := c.watches[key]
	if w == nil {
		if len(c.watches) >= mostWatches {
			clear(c.watches)
		}
		fresh := auth.NewWatch(aor, up.Name)
		w = &fresh
		c.watches[key] = w
	}
	return w
}

// attempted notes that a phone's request goes upstream.
func (c *Core) attempted(s *server) {
	if s.req.Method != "REGISTER" && s.req.Method != "INVITE" {
		return
	}
	s.watch = c.watch(s.up, s.req)
	s.attempt = s.watch.Sent(s.req.Method, auth.CredentialsOf(s.req))
}

// explain says once, in an admin's words, why the provider refuses a phone.
func (c *Core) explain(now time.Time, s *server, m *message.Message) {
	if s.watch == nil || m.Status < 200 || !s.up.reachable() {
		return
	}
	answer := auth.Answer{Status: m.Status, Reason: m.Reason}
	switch m.Status {
	case 401, 407:
		answer.Challenges = auth.ChallengesOf(m)
	case 423:
		n, _ := message.ParseUint(m.Get(message.MinExpires), 1<<32-1)
		answer.MinExpires = uint32(n)
	case 488, 606:
		answer.PlainRTP = s.up.flow.Proto == transport.TLS && offersPlainRTP(s.req)
	}
	d, news := s.watch.Received(now, s.attempt, answer)
	if !news {
		return
	}
	if d.Code == auth.Recovered {
		c.log.Info("answered again", "upstream", s.up.Name, "peer", s.from.addr, "code", d.Code, "cause", d.Cause)
		return
	}
	c.log.Warn("provider refuses", "upstream", s.up.Name, "peer", s.from.addr, "method", s.req.Method,
		"status", m.Status, "code", d.Code, "cause", d.Cause, "remedy", d.Remedy)
}

// offersPlainRTP reports whether a request offers audio that is not encrypted.
func offersPlainRTP(m *message.Message) bool {
	sdp := sdpOf(m)
	if sdp == nil {
		return false
	}
	for _, stream := range sdp.Streams {
		if strings.HasPrefix(stream.Proto, "RTP/AVP") {
			return true
		}
	}
	return false
}

// authInt reports whether a digest covers the body, which then must stay as it
// is (RFC 7616 §3.4.3).
func authInt(m *message.Message) bool {
	for _, credentials := range auth.CredentialsOf(m) {
		if message.EqualFold(credentials.QOP, "auth-int") {
			return true
		}
	}
	return false
}
