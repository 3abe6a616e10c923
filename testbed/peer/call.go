package peer

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// A Call is one end of a call, made or taken. Safe for concurrent use.
type Call struct {
	bell
	ua    *ua
	out   bool
	media *Media

	mu        sync.Mutex
	callID    string
	localTag  string
	remoteTag string
	local     string // From value of our requests
	remote    string // To value of our requests
	target    string // the other side's Contact URI
	routes    []string
	uri       string // Request-URI of the first INVITE
	extra     []string
	creds     *credentials
	seq       uint32
	remoteSeq uint32
	fixed     *Flow // the flow the INVITE goes on, when the caller chose one
	last      *Flow // the flow the other side was last heard on

	invite    *Message          // the INVITE as it was sent last, or received
	tx        *clientTx         // of our INVITE
	req       *Request          // theirs
	responses []*Message        // to our INVITE, challenges included
	final     *Message          // the final response to our INVITE that counts
	failure   error             // why there is none
	answered  bool              // we sent a 2xx
	acked     *Message          // the last ACK to one
	acks      map[uint32]bool   // the CSeq numbers acknowledged
	sentAcks  map[uint32]string // the ACKs we sent, by CSeq
	rseq      int               // the last reliable provisional response we sent
	pracked   int               // the last that was acknowledged
	acked18x  map[string]bool   // the RSeqs we sent PRACK for
	late      bool              // our INVITE bears no offer
	over      bool
	overBy    *Message // the BYE or CANCEL that ended it
	sdpID     uint64
	sdpSeq    uint64
	direction string // ours
	theirs    string // the other side's last SDP
}

// Media returns the call's audio, nil if it has none.
func (c *Call) Media() *Media { return c.media }

// Invite returns the INVITE as it was received, or as it was last sent.
func (c *Call) Invite() *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.invite
}

// CallID returns the call's Call-ID.
func (c *Call) CallID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.callID
}

// Responses returns all responses to our INVITE so far, challenges included.
func (c *Call) Responses() []*Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Message(nil), c.responses...)
}

// RemoteSDP returns the last SDP of the other side, "" before there is one.
func (c *Call) RemoteSDP() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.theirs
}

// Ack returns the ACK to our answer, nil before it came.
func (c *Call) Ack() *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked
}

// Rings waits for a ringing response (180 or 183) to our INVITE. It fails when
// a final response comes first.
func (c *Call) Rings(ctx context.Context) error {
	rang := false
	err := c.wait(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, m := range c.responses {
			rang = rang || (m.Status() > 100 && m.Status() < 200)
		}
		return rang || c.final != nil || c.failure != nil
	})
	if err != nil || rang {
		return wrap("waiting for ringing", err)
	}
	return c.outcome()
}

// Answered waits for the final response to our INVITE: nil for a 2xx, a
// *StatusError for another one.
func (c *Call) Answered(ctx context.Context) error {
	err := c.wait(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.final != nil || c.failure != nil
	})
	if err != nil {
		return wrap("waiting for an answer", err)
	}
	return c.outcome()
}

func (c *Call) outcome() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failure != nil:
		return c.failure
	case c.final.Status() >= 300:
		return &StatusError{c.final}
	}
	return nil
}

// Confirmed waits for the ACK to our answer.
func (c *Call) Confirmed(ctx context.Context) error {
	return wrap("waiting for the ACK", c.wait(ctx, func() bool { return c.Ack() != nil }))
}

// Ended waits until the call is over: by BYE or CANCEL of either side, or a
// final response.
func (c *Call) Ended(ctx context.Context) error {
	return wrap("waiting for the end of the call", c.wait(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.over
	}))
}

// EndedBy returns the BYE or CANCEL that the other side ended the call with,
// nil if there was none.
func (c *Call) EndedBy() *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.overBy
}

// end marks the call as over and silences it.
func (c *Call) end(by *Message) {
	c.mu.Lock()
	if !c.over {
		c.over, c.overBy = true, by
	}
	c.mu.Unlock()
	if c.media != nil {
		c.media.Talk(false)
		c.media.Echo(false)
	}
	c.ring()
}

// isDialog says how well the call fits a request: 2 wholly, 1 as far as it is
// known, 0 not.
func (c *Call) isDialog(callID, local, remote string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.callID != callID || c.localTag != local:
		return 0
	case c.remoteTag == remote:
		return 2
	case c.remoteTag == "":
		return 1
	}
	return 0
}

// sdp writes our next offer or answer.
func (c *Call) sdp() string {
	if c.media == nil {
		return ""
	}
	c.mu.Lock()
	c.sdpSeq++
	s := sdpFor(c.media.local, c.sdpID, c.sdpSeq, c.direction)
	c.mu.Unlock()
	if c.ua.editSDP != nil {
		s = c.ua.editSDP(s)
	}
	return s
}

// takeSDP follows the other side's SDP, if body is one.
func (c *Call) takeSDP(body string) (s session, ok bool) {
	s, ok = parseSDP(body)
	if !ok {
		return s, false
	}
	c.mu.Lock()
	c.theirs = body
	c.mu.Unlock()
	if c.media != nil {
		c.media.follow(s)
	}
	return s, true
}

// wrap says what failed, nil for nil.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// loose says whether the first route is a loose router's.
func loose(routes []string) bool {
	if len(routes) == 0 {
		return true
	}
	_, ok := param(parseURI(aor(routes[0])).params, "lr")
	return ok
}

// reversed returns a response's Record-Route as a caller's route set.
func reversed(list []string) []string {
	out := make([]string, 0, len(list))
	for i := len(list) - 1; i >= 0; i-- {
		out = append(out, strings.TrimSpace(list[i]))
	}
	return out
}
