package transaction

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// t0 has no monotonic reading, so that instants in scripts are exact, and lies
// shortly before the epoch, so that they have both signs.
var t0 = epoch.Round(0).Add(-9123456789)

// machine is what a script drives: a Client or a Server.
type machine interface {
	Fire(now time.Time) Verdict
	Deadline() time.Time
	do(t *testing.T, now time.Time, op, arg string) Verdict
}

type clientMachine struct{ *Client }

func (c clientMachine) do(t *testing.T, now time.Time, op, arg string) Verdict {
	switch op {
	case "recv":
		return c.Receive(now, atoi(t, arg))
	case "fail":
		return c.Fail(now)
	case "cancelled":
		c.Cancelled(now)
		return 0
	}
	t.Fatalf("a client has no event %q", op)
	return 0
}

type serverMachine struct{ *Server }

func (s serverMachine) do(t *testing.T, now time.Time, op, arg string) Verdict {
	switch op {
	case "again":
		return s.Receive(now, false)
	case "ack":
		return s.Receive(now, true)
	case "send":
		return s.Send(now, atoi(t, arg))
	}
	t.Fatalf("a server has no event %q", op)
	return 0
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func client(k Kind, reliable bool) machine {
	c := NewClient(k, reliable, t0)
	return clientMachine{&c}
}

func server(k Kind, reliable bool) machine {
	s := NewServer(k, reliable, t0)
	return serverMachine{&s}
}

// play runs a script of lines "TIME EVENT: VERDICT". The event fire asserts that
// the deadline is exactly TIME, that a nanosecond earlier nothing happens, and
// then fires; no deadline may lie before any other event. The script must end
// with done or with the line "idle": no deadline is left.
func play(t *testing.T, m machine, script string) {
	t.Helper()
	var last Verdict
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if line == "idle" {
			wantDeadline(t, line, m, time.Time{})
			return
		}
		event, want, _ := strings.Cut(line, ": ")
		f := append(strings.Fields(event), "")
		after, err := time.ParseDuration(f[0])
		if err != nil {
			t.Fatal(err)
		}
		now := t0.Add(after)
		if f[1] == "fire" {
			last = fire(t, line, m, now)
		} else {
			if d := m.Deadline(); !d.IsZero() && d.Before(now) {
				t.Fatalf("%s: the script has no event at the deadline %v", line, d.Sub(t0))
			}
			last = m.do(t, now, f[1], f[2])
		}
		if last.String() != want {
			t.Fatalf("%s: got %v", line, last)
		}
	}
	if last&Done == 0 {
		t.Fatalf("the script ends with %v, not with done or idle", last)
	}
	wantDeadline(t, "after done", m, time.Time{})
}

func fire(t *testing.T, line string, m machine, now time.Time) Verdict {
	t.Helper()
	wantDeadline(t, line, m, now)
	if v := m.Fire(now.Add(-1)); v != 0 {
		t.Fatalf("%s: a nanosecond earlier: %v, want nothing", line, v)
	}
	wantDeadline(t, line, m, now)
	return m.Fire(now)
}

func wantDeadline(t *testing.T, line string, m machine, want time.Time) {
	t.Helper()
	if got := m.Deadline(); !got.Equal(want) {
		t.Fatalf("%s: deadline %v after the start, want %v", line, got.Sub(t0), want.Sub(t0))
	}
}
