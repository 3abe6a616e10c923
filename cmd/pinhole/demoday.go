package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pinhole/testbed/peer"
)

// A scene is one step of the day; it checks itself and says what it proved.
type scene struct {
	title string
	do    func(ctx context.Context, st *stage) error
}

var day = []scene{
	{"Both phones register. The provider asks for a password; Pinhole knows none and passes the question on.", register},
	{"Somebody outside calls alice.", inbound},
	{"bob calls out. The provider asks for his password (407).", outbound},
	{"The connection to the provider is torn down.", flowLost},
	{"The next call finds alice all the same: no phone had to do anything.", inboundAgain},
	{"alice goes home.", unregister},
}

// patience bounds one step of a scene; on loopback all of them take less than a
// second, but for the audio.
const patience = 8 * time.Second

// talk is how long the ends of a call speak: audio counts after 500 ms.
const talk = 1200 * time.Millisecond

func register(ctx context.Context, st *stage) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for name, p := range map[string]*peer.Phone{"alice": st.alice, "bob": st.bob} {
		r, err := p.Register(ctx)
		if err != nil {
			return err
		}
		held := st.prov.Bindings(name)
		if len(held) != 1 {
			return fmt.Errorf("the provider holds %d Contacts of %s, want 1", len(held), name)
		}
		own, alias := p.Flow().Local().String(), held[0].Flow.Remote().String()
		if !strings.Contains(r.Contact, own) || !strings.Contains(held[0].URI, alias) || strings.Contains(held[0].URI, own) {
			return fmt.Errorf("%s sees %s, the provider %s", name, r.Contact, held[0].URI)
		}
		st.fact("%s sees its own Contact, %s; the provider holds the alias <%s>", name, r.Contact, held[0].URI)
	}
	return nil
}

func inbound(ctx context.Context, st *stage) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	outside, err := st.prov.Call(ctx, "alice")
	if err != nil {
		return err
	}
	inside, err := st.alice.Expect(ctx)
	if err != nil {
		return fmt.Errorf("alice does not ring: %w", err)
	}
	if err := inside.Ring(); err != nil {
		return err
	}
	if err := outside.Rings(ctx); err != nil {
		return err
	}
	if err := inside.Answer(); err != nil {
		return err
	}
	if err := outside.Answered(ctx); err != nil {
		return err
	}
	if err := st.hear(ctx, outside, inside); err != nil {
		return err
	}
	if err := inside.Hangup(ctx); err != nil {
		return err
	}
	return outside.Ended(ctx)
}

// inboundAgain is an inbound call for which nobody had to register.
func inboundAgain(ctx context.Context, st *stage) error {
	before := len(st.prov.Received("REGISTER"))
	if err := inbound(ctx, st); err != nil {
		return err
	}
	if n := len(st.prov.Received("REGISTER")) - before; n != 0 {
		return fmt.Errorf("%d REGISTERs were needed", n)
	}
	st.fact("no phone had to register")
	return nil
}

func outbound(ctx context.Context, st *stage) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	call, err := st.bob.Call(ctx, "echo")
	if err != nil {
		return err
	}
	if err := call.Answered(ctx); err != nil {
		return err
	}
	if err := st.hear(ctx, call, nil); err != nil {
		return err
	}
	return call.Hangup(ctx)
}

// hear checks the audio of both directions.
func (st *stage) hear(ctx context.Context, a, b *peer.Call) error {
	audio, err := a.Audio(ctx, talk, b)
	if err != nil {
		return err
	}
	if !audio.OK() {
		return fmt.Errorf("audio: %.0f %% of %d packets arrived one way, %.0f %% of %d the other",
			100*audio.Out.Fraction(), audio.Out.Sent, 100*audio.In.Fraction(), audio.In.Sent)
	}
	st.fact("both hear each other: %d and %d packets, payload equal in %.0f %% and %.0f %%",
		audio.Out.Sent, audio.In.Sent, 100*audio.Out.Fraction(), 100*audio.In.Fraction())
	return nil
}

func flowLost(ctx context.Context, st *stage) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	flows := st.prov.Flows()
	if len(flows) != 1 {
		return fmt.Errorf("%d connections at the provider, want one for all phones", len(flows))
	}
	old, start, seen := flows[0].Remote(), time.Now(), len(st.prov.Received("OPTIONS"))
	st.prov.Kill()
	if _, err := st.prov.WaitRequest(ctx, "OPTIONS", seen+1); err != nil {
		return fmt.Errorf("no new connection: %w", err)
	}
	flows = st.prov.Flows()
	if len(flows) != 1 || flows[0].Remote() != old {
		return fmt.Errorf("the new connection does not come from %s", old)
	}
	st.fact("a new connection after %d ms, from the same port %s: every alias still leads here",
		time.Since(start).Milliseconds(), old)
	return nil
}

func unregister(ctx context.Context, st *stage) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := st.alice.Unregister(ctx); err != nil {
		return err
	}
	if n := len(st.prov.Bindings("alice")); n != 0 {
		return fmt.Errorf("the provider still holds %d Contacts of alice", n)
	}
	st.fact("the provider holds nothing of alice any more")
	return nil
}
