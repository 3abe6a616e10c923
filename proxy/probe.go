package proxy

import (
	"errors"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"

	"pinhole/internal/message"
)

// A probe is one OPTIONS of ours on a flow (RFC 3261 §11): any answer proves
// life and tells the mapped tuple, and which form of Via the provider likes.
type probe struct {
	client *client
	retry  *timer
	forms  int // forms of Via tried and met with silence
}

const (
	// silence is how long an OPTIONS may stay unanswered before the next form of
	// Via is tried.
	silence = 4 * time.Second

	// lifeless is how long it may before a flow is dead whose provider is known
	// to answer (RFC 5626 §4.4.1 gives a pong as long).
	lifeless = 10 * time.Second
)

var errLifeless = errors.New("the provider does not answer OPTIONS any more")

// ProbeDue tells the core that a flow wants a sign of life.
func (c *Core) ProbeDue(now time.Time, name string, gen uint64) {
	up := c.upstreams[name]
	if up == nil || up.flow == nil || up.flow.Gen != gen || up.probe != nil {
		return
	}
	c.startProbe(now, up)
}

func (c *Core) startProbe(now time.Time, up *upstream) {
	c.endProbe(up)
	p := &probe{}
	p.retry = newTimer(func(now time.Time) { c.unprobed(now, up, p) })
	up.probe = p
	c.sendProbe(now, up, p)
}

func (c *Core) endProbe(up *upstream) {
	if up.probe == nil {
		return
	}
	c.arm(up.probe.retry, time.Time{})
	up.probe.client.done = nil
	up.probe = nil
}

func (c *Core) sendProbe(now time.Time, up *upstream, p *probe) {
	cl := c.newClient(endpoint{path: up.flow, addr: up.flow.Remote}, "OPTIONS")
	cl.done = func(now time.Time, m *message.Message) { c.probed(now, up, p, m) }
	p.client = cl
	patience := silence
	if up.answers {
		patience = lifeless
	}
	c.arm(p.retry, now.Add(patience))
	c.start(now, cl, c.options(up, cl))
}

// options writes the probe.
func (c *Core) options(up *upstream, cl *client) []byte {
	var to, from sip.Uri
	if sip.ParseUri("sip:"+up.Domain, &to) != nil {
		return nil
	}
	from = to
	from.User = "ping"
	if live := c.bindings.Live(up.Name); len(live) > 0 {
		from.User = live[0].Series.User
	}
	req := sip.NewRequest(sip.OPTIONS, to)
	cl.via = up.via(cl.branch.String())
	req.AppendHeader(sip.NewHeader("Via", cl.via))
	tagged := sip.NewParams()
	tagged.Add("tag", c.tag())
	req.AppendHeader(&sip.FromHeader{Address: from, Params: tagged})
	req.AppendHeader(&sip.ToHeader{Address: to, Params: sip.NewParams()})
	req.AppendHeader(sip.NewHeader("Call-ID", strconv.FormatUint(c.rand(), 36)+strconv.FormatUint(c.rand(), 36)))
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: sip.OPTIONS})
	req.AppendHeader(sip.NewHeader("Max-Forwards", "70"))
	req.AppendHeader(sip.NewHeader("Content-Length", "0"))
	return []byte(req.String())
}

// probed takes the answer to a probe, nil if none came.
func (c *Core) probed(now time.Time, up *upstream, p *probe, m *message.Message) {
	if up.probe != p {
		return
	}
	if m != nil && m.Status == 400 && p.forms < int(viaMapped) && up.ViaHost == "auto" {
		c.nextForm(now, up, p)
		return
	}
	c.endProbe(up)
	if m != nil {
		up.answers = true
		up.release(now)
	}
}

// unprobed acts on a probe that nobody answers. Where none was ever answered
// that proves nothing: the provider may not know OPTIONS, or not our Via.
func (c *Core) unprobed(now time.Time, up *upstream, p *probe) {
	if up.answers {
		c.endProbe(up)
		c.emit(Output{Kind: Fail, Upstream: up.Name, Gen: up.flow.Gen, Err: errLifeless})
		return
	}
	c.nextForm(now, up, p)
}

// nextForm tries the next form of Via where the admin left that to us and the
// provider was never heard with this one.
func (c *Core) nextForm(now time.Time, up *upstream, p *probe) {
	if up.ViaHost != "auto" || up.learned || p.forms >= int(viaMapped) || !up.mapping.Known() {
		return
	}
	p.forms++
	p.client.done = nil
	up.form = viaForm(p.forms)
	c.log.Info("trying another form of Via", "upstream", up.Name, "form", up.form.String(),
		"cause", "the provider did not answer or refused the one before")
	c.sendProbe(now, up, p)
}
