package proxy

import (
	"net/netip"
	"time"

	"pinhole/internal/dialog"
	"pinhole/internal/media"
	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/rewrite"
)

// A call is one phone's side of a call with its media.
type call struct {
	*dialog.Call
	up      *upstream
	phone   endpoint // where the phone was when the call began
	session *media.Session
	streams int       // how many the session has
	over    bool      // nothing brings it back, not even a late 2xx
	idle    *timer    // for look
	heard   time.Time // when either side last sent a request in it
}

// mediaWork is what the driver does for a Media… output.
type mediaWork struct {
	Session  *media.Session // to grow or close; nil: open one
	Streams  int
	LAN, WAN netip.Addr // the local addresses of the two sides
	Public   netip.Addr // MediaPublic: how the provider sees WAN
	Done     func(now time.Time, s *media.Session, err error)
}

// callOf returns the call of a dialog that somebody has sent a request in, nil
// without one.
func (c *Core) callOf(now time.Time, k dialog.Key) *call {
	d := c.dialogs.Find(k)
	if d == nil {
		return nil
	}
	call := c.media[d.ID]
	if call != nil {
		call.heard = now
	}
	return call
}

// newCall returns a call of a phone that has no dialog yet.
func (c *Core) newCall(up *upstream, phone endpoint, byPhone bool) *call {
	return &call{Call: c.dialogs.New(up.Name, byPhone), up: up, phone: phone}
}

// prepareMedia gives a phone's request, or any request inside a call, the ports
// that its SDP needs, and goes on with then; at once where it needs none.
func (c *Core) prepareMedia(now time.Time, s *server, then func(now time.Time)) {
	if s.call == nil && s.req.Method == "INVITE" && s.from.path.Side == LAN {
		s.call = c.newCall(s.up, s.from, true)
	}
	c.openMedia(now, s, s.call, then, func(now time.Time) {
		c.answer(now, s, 500, "No Media Port Free")
	})
}

// prepareBranch does the same for one phone of an inbound request: every branch
// of a fork has a session of its own.
func (c *Core) prepareBranch(now time.Time, s *server, cl *client, then func(now time.Time)) {
	if cl.leg == nil && s.req.Method == "INVITE" {
		cl.leg = c.newCall(s.up, cl.to, false)
		cl.leg.Token, cl.leg.Contact = cl.token, cl.target
	}
	c.openMedia(now, s, cl.leg, then, func(now time.Time) {
		c.drop(cl)
		c.decide(now, s, s.fork.Fail(cl.index, 500), cl, nil)
	})
}

// openMedia opens or grows the session of a call for the SDP of a request. An
// INVITE without SDP gets ports too: the answer will bring the offer.
func (c *Core) openMedia(now time.Time, s *server, k *call, then, failed func(now time.Time)) {
	const late = 2 // streams of an offer that is still to come: audio and video
	need := 0
	if sdp := sdpOf(s.req); sdp != nil {
		need = len(sdp.Streams)
	} else if s.req.Method == "INVITE" {
		need = late
	}
	if k == nil || need <= k.streams || s.up.flow == nil {
		then(now)
		return
	}
	c.emit(Output{Kind: MediaOpen, Media: mediaWork{
		Session: k.session, Streams: need, LAN: k.phone.path.Local.Addr(),
		WAN: s.up.flow.Local.Addr(),
		Done: func(now time.Time, session *media.Session, err error) {
			c.mediaOpened(now, s, k, session, need, err, then, failed)
		},
	}})
}

func (c *Core) mediaOpened(now time.Time, s *server, k *call, session *media.Session, need int, err error, then, failed func(now time.Time)) {
	if err != nil {
		c.log.Error("call refused", "upstream", k.Upstream, "call_id", s.req.Get(message.CallID), "cause", err.Error(),
			"remedy", "widen ports in [media]")
		failed(now)
		return
	}
	if s.canceled || s.tx.Final() != 0 {
		if k.session == nil {
			c.emit(Output{Kind: MediaClose, Media: mediaWork{Session: session}})
		}
		failed(now)
		return
	}
	k.session, k.streams = session, need
	then(now)
}

// publicAddr is our address as the provider sees it, invalid while unknown.
func (up *upstream) publicAddr() netip.Addr {
	addr, _ := up.contactAddr()
	return addr.Addr()
}

// sdpOf returns the SDP of a message that takes part in offer and answer, nil
// where it has none (RFC 3261 §13.2.1; capabilities in OPTIONS are none).
func sdpOf(m *message.Message) *rewrite.SDP {
	if m.Body() == "" || m.Method == "OPTIONS" {
		return nil
	}
	start, end, ok := rewrite.SDPPart(m.Get(message.ContentType), m.Get(message.ContentEncoding), m.Body())
	if !ok {
		return nil
	}
	sdp, err := rewrite.ParseSDP(m.Body()[start:end])
	if err != nil {
		return nil
	}
	return sdp
}

// scrubBody hides the LAN in a session description that goes upstream without
// being part of a call, such as the capabilities in an answer to OPTIONS, or
// that nobody can read.
func (c *Core) scrubBody(m *message.Message, sdp *rewrite.SDP, way passage) {
	if way.from != media.LAN || m.Body() == "" || !way.up.reachable() {
		return
	}
	body := m.Body()
	start, end, ok := rewrite.SDPPart(m.Get(message.ContentType), m.Get(message.ContentEncoding), body)
	if !ok {
		return
	}
	hidden, err := "", error(nil)
	if sdp != nil {
		hidden, err = sdp.Rewrite(make([]rewrite.StreamAddr, len(sdp.Streams)), way.up.towardsProvider(way.phone, m))
	}
	if sdp == nil || err != nil {
		veil := way.up.veil(way.phone, m)
		hidden = veil.Hide(c.hider, body[start:end])
	}
	if hidden != body[start:end] {
		c.edits.SetBody(m, body[:start]+hidden+body[end:])
	}
}

// towardsProvider says how a session description is rewritten on its way
// upstream: nothing of the LAN in it, and on plaintext nothing that a router's
// ALG would drop the message for.
func (up *upstream) towardsProvider(phone netip.Addr, m *message.Message) rewrite.SDPOptions {
	veil := up.veil(phone, m)
	return rewrite.SDPOptions{
		ICE: up.ICE, Private: append(veil.Phone, veil.Own...), Origin: up.publicAddr(), Normalise: plaintext(up.flow),
	}
}

// A passage is the way of an SDP body through us.
type passage struct {
	call  *call // nil: it belongs to none
	up    *upstream
	phone netip.Addr
	from  media.Side // who wrote it
}

func upward(k *call, up *upstream, phone endpoint) passage {
	return passage{call: k, up: up, phone: phone.addr.Addr(), from: media.LAN}
}

func downward(k *call) passage { return passage{call: k, from: media.WAN} }

// apply makes a media change at once.
func apply(change func()) { change() }

// applyLater keeps the media change of an offer inside a dialog until its answer
// is a 2xx: a refused re-INVITE leaves all as it was (RFC 3261 §14.1). The first
// offer of a call has nothing to go back to.
func (c *Core) applyLater(s *server, change func()) {
	if rewrite.Tag(s.req, message.To) == "" {
		change()
		return
	}
	s.pending = append(s.pending, change)
}

// editSDP puts our media addresses into the SDP of a message and lets the relay
// know those that it held; when says at what time.
func (c *Core) editSDP(m *message.Message, way passage, when func(change func())) {
	k := way.call
	sdp := sdpOf(m)
	if m.Body() != "" && authInt(m) {
		c.metrics.Add(metrics.ExemptLeaks)
		return
	}
	if sdp == nil || k == nil || k.session == nil || k.up.flow == nil {
		c.scrubBody(m, sdp, way)
		return
	}
	if len(sdp.Streams) > k.streams {
		c.log.Warn("more media streams than ports", "upstream", k.Upstream, "streams", len(sdp.Streams))
	}
	trust := k.phone.addr.Addr()
	if way.from == media.WAN {
		trust = k.up.flow.Remote.Addr()
	}
	session, side := k.session, way.from
	when(func() { setRemotes(session, side, sdp, trust) })
	to := media.WAN
	if side == media.WAN {
		to = media.LAN
	}
	addrs := make([]rewrite.StreamAddr, len(sdp.Streams))
	for i := range sdp.Streams {
		if i < k.streams && sdp.Streams[i].Relayable {
			a := session.Advertised(to, i)
			addrs[i] = rewrite.StreamAddr{RTP: a.RTP, RTCP: a.RTCP}
		}
	}
	c.writeSDP(m, k, sdp, addrs, to)
}

func (c *Core) writeSDP(m *message.Message, k *call, sdp *rewrite.SDP, addrs []rewrite.StreamAddr, to media.Side) {
	o := rewrite.SDPOptions{ICE: k.up.ICE}
	if to == media.WAN {
		o = k.up.towardsProvider(k.phone.addr.Addr(), m)
	}
	body, err := sdp.Rewrite(addrs, o)
	if err != nil {
		c.log.Warn("SDP left as it is", "upstream", k.Upstream, "call_id", m.Get(message.CallID), "cause", err.Error())
		return
	}
	whole := m.Body()
	start, end, _ := rewrite.SDPPart(m.Get(message.ContentType), m.Get(message.ContentEncoding), whole)
	c.edits.SetBody(m, whole[:start]+body+whole[end:])
}

// setRemotes tells the relay where one side wants its media.
func setRemotes(session *media.Session, side media.Side, sdp *rewrite.SDP, trust netip.Addr) {
	for i, stream := range sdp.Streams {
		if !stream.Relayable {
			session.SetRemote(side, i, netip.AddrPort{}, netip.AddrPort{}, nil, trust, true)
			continue
		}
		addr := stream.Addr
		if !addr.IsValid() {
			addr = trust // a host name: most likely the peer's own; latching finds out
		}
		rtp := netip.AddrPortFrom(addr, uint16(stream.Port))
		session.SetRemote(side, i, rtp, stream.RTCP, stream.Payloads, trust, stream.Hold)
		if side == media.WAN {
			session.Punch(i)
		}
	}
}

// useAnswer reports whether the SDP of a response to a phone counts: after the
// 2xx of one fork, no other fork's answer does (RFC 3261 §13.2.2.4).
func (c *Core) useAnswer(s *server, m *message.Message) bool {
	if s.call == nil || s.call.Confirmed == "" {
		return true
	}
	return s.call.Confirmed == rewrite.Tag(m, message.To)
}

// dialogFromProvider lets the dialog that a response to a phone's INVITE makes
// lead to the call.
func (c *Core) dialogFromProvider(now time.Time, s *server, m *message.Message) {
	k := s.call
	if k == nil || s.req.Method != "INVITE" || m.Status <= 100 || m.Status >= 300 {
		return
	}
	remote := rewrite.Tag(m, message.To)
	c.enlist(now, k, dialog.Key{CallID: s.req.Get(message.CallID), Phone: rewrite.Tag(s.req, message.From), Remote: remote})
	if m.Status >= 200 && k.Confirmed == "" {
		k.Confirmed = remote
		c.metrics.Add(metrics.CallsAnswered)
	}
	if k.Contact == "" || m.Status >= 200 {
		c.phoneTarget(k, s.req)
	}
}

// dialogFromPhone does the same for the answer of a phone to an INVITE of the
// provider, and follows a phone whose Contact has changed.
func (c *Core) dialogFromPhone(now time.Time, s *server, cl *client, m *message.Message) {
	k := cl.leg
	if k == nil || m.Status <= 100 || m.Status >= 300 {
		return
	}
	c.phoneTarget(k, m)
	if s.req.Method != "INVITE" {
		return
	}
	c.enlist(now, k, dialog.Key{
		CallID: c.hider.Reveal(s.req.Get(message.CallID)),
		Phone:  rewrite.Tag(m, message.To), Remote: rewrite.Tag(s.req, message.From),
	})
	if m.Status >= 200 && k.Confirmed == "" {
		k.Confirmed = rewrite.Tag(s.req, message.From)
		c.metrics.Add(metrics.CallsAnswered)
	}
}

// enlist lets a dialog lead to a call.
func (c *Core) enlist(now time.Time, k *call, key dialog.Key) {
	if k.over {
		return
	}
	if c.media[k.ID] == nil {
		k.idle = newTimer(func(now time.Time) { c.look(now, k) })
		c.arm(k.idle, now.Add(lookEvery))
		c.metrics.Add(map[bool]metrics.Counter{true: metrics.CallsOut, false: metrics.CallsIn}[k.ByPhone])
	}
	c.dialogs.Add(key, k.Call)
	c.media[k.ID] = k
}

// A call is looked at once in a while for whether it is still one; it is none
// when nobody has said a word in it for so long, either way.
const (
	lookEvery = time.Minute
	silentFor = 5 * time.Minute
)

// look ends a call whose BYE never came: neither side has sent media or a request
// for long, and none is on hold.
func (c *Core) look(now time.Time, k *call) {
	if k.session == nil || !k.session.Idle() || now.Sub(k.heard) < silentFor {
		c.arm(k.idle, now.Add(lookEvery))
		return
	}
	c.log.Warn("call given up", "upstream", k.Upstream, "peer", k.phone.addr,
		"cause", "no media from either side for five minutes, and nobody said that it is over")
	c.endCall(k)
}

// phoneTarget notes the Contact of a phone as the target of requests inside its
// dialog (RFC 3261 §12.2).
func (c *Core) phoneTarget(k *call, m *message.Message) {
	for el := range m.Elems(message.Contact) {
		if na, err := message.ParseNameAddr(m.Elem(el)); err == nil {
			k.Contact = na.URI
		}
		return
	}
}

// endLeg ends the media of a branch that was not answered with success.
func (c *Core) endLeg(_ time.Time, cl *client) {
	if cl.leg != nil && cl.server != nil && cl.server.call != cl.leg && cl.leg.Confirmed == "" {
		c.endCall(cl.leg)
	}
}

// endServerMedia ends the media of an INVITE that came to nothing.
func (c *Core) endServerMedia(s *server) {
	if s.req.Method == "INVITE" && s.call != nil && s.call.Confirmed == "" {
		c.endCall(s.call)
	}
}

// endCall forgets a call and closes its media.
func (c *Core) endCall(k *call) {
	if k == nil {
		return
	}
	if c.media[k.ID] != nil {
		c.metrics.Add(map[bool]metrics.Counter{true: metrics.CallsEnded, false: metrics.CallsFailed}[k.Confirmed != ""])
	}
	k.over = true
	if k.idle != nil {
		c.arm(k.idle, time.Time{})
	}
	c.dialogs.Remove(k.Call)
	delete(c.media, k.ID)
	if k.session != nil {
		c.emit(Output{Kind: MediaClose, Media: mediaWork{Session: k.session}})
		k.session, k.streams = nil, 0
	}
}
