package transaction

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

const (
	udp = false
	tcp = true
)

// TestTimerTable holds every timer of RFC 3261 table 4 and RFC 6026 over both
// kinds of transport to its exact instants.
func TestTimerTable(t *testing.T) {
	rows := []struct {
		name   string
		m      machine
		script string
	}{
		{"A B udp", client(Invite, udp), `
			500ms fire: resend
			1.5s fire: resend
			3.5s fire: resend
			7.5s fire: resend
			15.5s fire: resend
			31.5s fire: resend
			32s fire: timeout+done`},
		{"A B tcp", client(Invite, tcp), `
			32s fire: timeout+done`},
		{"A stops at the first 1xx, B too", client(Invite, udp), `
			500ms fire: resend
			1.499999999s recv 100: pass
			181s fire: timerC
			213s fire: timeout+done`},
		{"C udp, not reset by 100", client(Invite, udp), `
			100ms recv 100: pass
			170s recv 100: pass
			181s fire: timerC
			213s fire: timeout+done`},
		{"C tcp, reset by 101 to 199", client(Invite, tcp), `
			100ms recv 180: pass
			150s recv 101: pass
			300s recv 199: pass
			480.999999999s recv 100: pass
			481s fire: timerC
			513s fire: timeout+done`},
		{"C fires, the answer to our CANCEL comes", client(Invite, udp), `
			1ms recv 180: pass
			181.001s fire: timerC
			181.1s cancelled: none
			182s recv 487: pass+ack
			214s fire: done`},
		{"C is off after a 2xx", client(Invite, tcp), `
			1s recv 180: pass
			181s recv 200: pass
			213s fire: done`},
		{"C is off after a final", client(Invite, udp), `
			499ms recv 180: pass
			180s recv 404: pass+ack
			212s fire: done`},
		{"C is off after CANCEL", client(Invite, tcp), `
			1s recv 180: pass
			181s cancelled: none
			213s fire: timeout+done`},
		{"CANCEL udp: 64*T1, whatever provisional comes", client(Invite, udp), `
			100ms recv 180: pass
			1s cancelled: none
			2s recv 180: pass
			3s cancelled: none
			33s fire: timeout+done`},
		{"CANCEL tcp, crossed by a 2xx", client(Invite, tcp), `
			100ms recv 180: pass
			1s cancelled: none
			2s recv 200: pass
			34s fire: done`},
		{"D udp", client(Invite, udp), `
			100ms recv 486: pass+ack
			200ms recv 486: ack
			32.099999999s recv 486: ack
			32.1s fire: done`},
		{"D tcp", client(Invite, tcp), `
			100ms recv 486: pass+ack+done`},
		{"M udp", client(Invite, udp), `
			100ms recv 200: pass
			600ms recv 200: pass
			32.099999999s recv 202: pass
			32.1s fire: done`},
		{"M tcp", client(Invite, tcp), `
			100ms recv 183: pass
			1s recv 200: pass
			32.999999999s recv 200: pass
			33s fire: done`},
		{"E F udp", client(NonInvite, udp), `
			500ms fire: resend
			1.5s fire: resend
			3.5s fire: resend
			7.5s fire: resend
			11.5s fire: resend
			15.5s fire: resend
			19.5s fire: resend
			23.5s fire: resend
			27.5s fire: resend
			31.5s fire: resend
			32s fire: timeout+done`},
		{"E in Proceeding is T2", client(NonInvite, udp), `
			500ms fire: resend
			600ms recv 100: pass
			1.5s fire: resend
			5.5s fire: resend
			9.5s fire: resend
			13.5s fire: resend
			17.5s fire: resend
			21.5s fire: resend
			25.5s fire: resend
			29.5s fire: resend
			32s fire: timeout+done`},
		{"F tcp", client(NonInvite, tcp), `
			31.999999999s recv 100: pass
			32s fire: timeout+done`},
		{"K udp", client(NonInvite, udp), `
			100ms recv 200: pass
			5.099999999s recv 200: none
			5.1s fire: done`},
		{"K tcp", client(NonInvite, tcp), `
			100ms recv 404: pass+done`},
		{"100 to an INVITE udp", server(Invite, udp), `
			199.999999ms again: none
			200ms fire: try
			500ms again: resend
			idle`},
		{"100 to an INVITE tcp, G H", server(Invite, tcp), `
			200ms fire: try
			1s send 486: pass
			33s fire: timeout+done`},
		{"G H udp", server(Invite, udp), `
			0s send 100: pass
			1s send 486: pass
			1.5s fire: resend
			2.5s fire: resend
			4.5s fire: resend
			8.5s fire: resend
			12.5s fire: resend
			16.5s fire: resend
			20.5s fire: resend
			24.5s fire: resend
			28.5s fire: resend
			32.5s fire: resend
			33s fire: timeout+done`},
		{"I udp", server(Invite, udp), `
			0s send 503: pass
			500ms fire: resend
			600ms ack: none
			5.599999999s ack: none
			5.6s fire: done`},
		{"I tcp", server(Invite, tcp), `
			0s send 503: pass
			600ms ack: done`},
		{"L udp", server(Invite, udp), `
			0s send 100: pass
			1s send 200: pass
			1.5s again: none
			2s send 200: pass
			32.999999999s again: none
			33s fire: done`},
		{"L tcp", server(Invite, tcp), `
			1ns send 200: pass
			32s send 200: pass
			32.000000001s fire: done`},
		{"J udp", server(NonInvite, udp), `
			1s send 200: pass
			1.5s again: resend
			32.999999999s again: resend
			33s fire: done`},
		{"J tcp", server(NonInvite, tcp), `
			1s send 200: pass+done`},
		{"RFC 4320 udp: 100 forbidden before 3.5 s, then due, never 408", server(NonInvite, udp), `
			0s send 100: none
			3.499999999s send 100: none
			3.499999999s again: none
			3.5s fire: try
			7.5s again: resend
			8s send 100: pass
			31s send 408: none
			32s fire: done`},
		{"RFC 4320 udp: 100 at 3.5 s by the user", server(NonInvite, udp), `
			3.5s send 100: pass
			32s fire: done`},
		{"RFC 4320 tcp: 100 at any time, due after 3.5 s", server(NonInvite, tcp), `
			3.5s fire: try
			4s send 200: pass+done`},
		{"RFC 4320 tcp: 100 early", server(NonInvite, tcp), `
			1ms send 100: pass
			31.999999999s send 408: none
			32s fire: done`},
		{"a non-INVITE nobody answers", server(NonInvite, udp), `
			3.5s fire: try
			31.999999999s again: resend
			32s fire: done`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { play(t, r.m, r.script) })
	}
}

// TestFiredLate: a driver that was held up sends once, not a burst, and a
// transaction that ran out meanwhile just ends.
func TestFiredLate(t *testing.T) {
	late := func(d time.Duration) time.Time { return t0.Add(d) }
	c := NewClient(NonInvite, udp, t0)
	if v := c.Fire(late(9 * time.Second)); v != Resend || !c.Deadline().Equal(late(10*time.Second)) {
		t.Errorf("9 s late: %v, deadline %v", v, c.Deadline().Sub(t0))
	}
	if v := c.Fire(late(time.Minute)); v != Timeout|Done {
		t.Errorf("a minute late: %v", v)
	}
	s := NewServer(Invite, udp, t0)
	s.Send(t0, 486)
	if v := s.Fire(late(time.Minute)); v != Timeout|Done {
		t.Errorf("server, a minute late: %v", v)
	}
	s = NewServer(NonInvite, udp, t0)
	if v := s.Fire(late(time.Minute)); v != Done {
		t.Errorf("server, unanswered, a minute late: %v", v)
	}
}

// TestBubble: deadlines work as timers on the real clock's times and on those of
// a bubble, which have no monotonic reading and start in the year 2000.
func TestBubble(t *testing.T) {
	start := time.Now()
	if c := NewClient(Invite, udp, start); c.Deadline().Sub(start) != T1 {
		t.Errorf("real clock: deadline after %v, want %v", c.Deadline().Sub(start), T1)
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := NewClient(Invite, udp, start)
		var fired []time.Duration
		for v := Verdict(0); v&Done == 0; {
			<-time.After(time.Until(c.Deadline()))
			v = c.Fire(time.Now())
			fired = append(fired, time.Since(start))
		}
		want := []time.Duration{T1, 3 * T1, 7 * T1, 15 * T1, 31 * T1, 63 * T1, 64 * T1}
		if !reflect.DeepEqual(fired, want) {
			t.Errorf("fired after %v, want %v", fired, want)
		}
	})
}

// TestSmall: tables of 10,000s hold these by value, and nothing on the way of a
// message allocates.
func TestSmall(t *testing.T) {
	for _, v := range []any{Client{}, Server{}, Branch{}} {
		typ := reflect.TypeOf(v)
		if !typ.Comparable() || typ.Size() > 40 {
			t.Errorf("%v: %d bytes, comparable %v; want at most 40, comparable", typ, typ.Size(), typ.Comparable())
		}
		for i := range typ.NumField() {
			switch typ.Field(i).Type.Kind() {
			case reflect.Pointer, reflect.Slice, reflect.String, reflect.Map, reflect.Interface, reflect.Struct:
				t.Errorf("%v.%s is or may hold a pointer", typ, typ.Field(i).Name)
			}
		}
	}
	var sink Verdict
	dst := make([]byte, 0, branchLen)
	for name, f := range map[string]func(){
		"client": func() {
			c := NewClient(Invite, udp, t0)
			sink |= c.Fire(c.Deadline()) | c.Receive(t0, 180)
			c.Cancelled(t0)
			sink |= c.Receive(t0, 486) | c.Fire(c.Deadline())
		},
		"server": func() {
			s := NewServer(Invite, udp, t0)
			sink |= s.Fire(s.Deadline()) | s.Receive(t0, false) | s.Send(t0, 486) | s.Fire(s.Deadline())
		},
		"branch": func() {
			b := NewBranch(7, 1<<63)
			dst = b.Append(dst[:0])
		},
		"fork": func() {
			f := NewFork(Invite)
			i, j := f.Add(), f.Add()
			f.Receive(i, 486)
			f.Fail(j, 408)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
