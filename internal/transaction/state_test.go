package transaction

import (
	"strings"
	"testing"
	"time"
)

// Each cell is "verdict>state" after one event in one state. The first column
// tells how the state is reached from a new transaction, one second in.
var clientStates = map[string]struct {
	kind     Kind
	reliable bool
	table    string
}{
	"INVITE udp": {Invite, udp, `
	reach        100                  180                  200                  299                300                  486                  699                  fail             fire
	-            pass>proceeding      pass>proceeding      pass>accepted        pass>accepted      pass+ack>completed   pass+ack>completed   pass+ack>completed   done>terminated  resend>trying
	180          pass>proceeding      pass>proceeding      pass>accepted        pass>accepted      pass+ack>completed   pass+ack>completed   pass+ack>completed   done>terminated  timerC>proceeding
	200          none>accepted        none>accepted        pass>accepted        pass>accepted      none>accepted        none>accepted        none>accepted        none>accepted    done>terminated
	486          none>completed       none>completed       none>completed       none>completed     ack>completed        ack>completed        ack>completed        done>terminated  done>terminated
	fail         none>terminated      none>terminated      none>terminated      none>terminated    none>terminated      none>terminated      none>terminated      none>terminated  none>terminated`},
	"INVITE tcp": {Invite, tcp, `
	reach        100                  180                  200                  299                300                       486                       fail             fire
	-            pass>proceeding      pass>proceeding      pass>accepted        pass>accepted      pass+ack+done>terminated  pass+ack+done>terminated  done>terminated  timeout+done>terminated
	100          pass>proceeding      pass>proceeding      pass>accepted        pass>accepted      pass+ack+done>terminated  pass+ack+done>terminated  done>terminated  timerC>proceeding
	200          none>accepted        none>accepted        pass>accepted        pass>accepted      none>accepted             none>accepted             none>accepted    done>terminated
	486          none>terminated      none>terminated      none>terminated      none>terminated    none>terminated           none>terminated           none>terminated  none>terminated`},
	"non-INVITE udp": {NonInvite, udp, `
	reach        100                  180                  200                  401                fail             fire
	-            pass>proceeding      pass>proceeding      pass>completed       pass>completed     done>terminated  resend>trying
	100          pass>proceeding      pass>proceeding      pass>completed       pass>completed     done>terminated  resend>proceeding
	200          none>completed       none>completed       none>completed       none>completed     done>terminated  done>terminated
	fail         none>terminated      none>terminated      none>terminated      none>terminated    none>terminated  none>terminated`},
	"non-INVITE tcp": {NonInvite, tcp, `
	reach        100                  200                   401                   fail             fire
	-            pass>proceeding      pass+done>terminated  pass+done>terminated  done>terminated  timeout+done>terminated
	100          pass>proceeding      pass+done>terminated  pass+done>terminated  done>terminated  timeout+done>terminated
	200          none>terminated      none>terminated       none>terminated       none>terminated  none>terminated`},
}

func TestClientStates(t *testing.T) {
	for name, c := range clientStates {
		t.Run(name, func(t *testing.T) {
			eachCell(t, c.table, func(reach, event string) string {
				tx := NewClient(c.kind, c.reliable, t0)
				clientEvent(t, &tx, reach)
				v := clientEvent(t, &tx, event)
				return v.String() + ">" + tx.state.String()
			})
			for _, status := range []string{"-1", "0", "99", "700", "65736"} {
				tx := NewClient(c.kind, c.reliable, t0)
				if v := clientEvent(t, &tx, status); v != 0 || tx.state != trying || tx.Final() != 0 {
					t.Errorf("status %s: %v, %v", status, v, tx.state)
				}
			}
		})
	}
}

func clientEvent(t *testing.T, tx *Client, event string) Verdict {
	now := t0.Add(time.Second)
	switch event {
	case "-":
		return 0
	case "fail":
		return tx.Fail(now)
	case "fire":
		return tx.Fire(tx.Deadline())
	}
	return tx.Receive(now, atoi(t, event))
}

var serverStates = map[string]struct {
	kind     Kind
	reliable bool
	table    string
}{
	"INVITE udp": {Invite, udp, `
	reach        again              ack                send100          send180          send200          send486          fire
	-            none>trying        none>trying        pass>proceeding  pass>proceeding  pass>accepted    pass>completed   try>proceeding
	send180      resend>proceeding  none>proceeding    pass>proceeding  pass>proceeding  pass>accepted    pass>completed   none>proceeding
	send200      none>accepted      pass>accepted      none>accepted    none>accepted    pass>accepted    none>accepted    done>terminated
	send486      resend>completed   none>confirmed     none>completed   none>completed   none>completed   none>completed   resend>completed
	send486,ack  none>confirmed     none>confirmed     none>confirmed   none>confirmed   none>confirmed   none>confirmed   done>terminated`},
	"INVITE tcp": {Invite, tcp, `
	reach        again              ack                send100          send180          send200          send486          fire
	-            none>trying        none>trying        pass>proceeding  pass>proceeding  pass>accepted    pass>completed   try>proceeding
	send180      resend>proceeding  none>proceeding    pass>proceeding  pass>proceeding  pass>accepted    pass>completed   none>proceeding
	send200      none>accepted      pass>accepted      none>accepted    none>accepted    pass>accepted    none>accepted    done>terminated
	send486      resend>completed   done>terminated    none>completed   none>completed   none>completed   none>completed   timeout+done>terminated
	send486,ack  none>terminated    none>terminated    none>terminated  none>terminated  none>terminated  none>terminated  none>terminated`},
	"non-INVITE udp": {NonInvite, udp, `
	reach        again              ack                send100          send180          send200              send408          send486              fire
	-            none>trying        none>trying        none>trying      none>trying      pass>completed       none>trying      pass>completed       try>proceeding
	fire         resend>proceeding  none>proceeding    pass>proceeding  none>proceeding  pass>completed       none>proceeding  pass>completed       done>terminated
	send200      resend>completed   none>completed     none>completed   none>completed   none>completed       none>completed   none>completed       done>terminated
	fire,fire    none>terminated    none>terminated    none>terminated  none>terminated  none>terminated      none>terminated  none>terminated      none>terminated`},
	"non-INVITE tcp": {NonInvite, tcp, `
	reach        again              ack                send100          send180          send200               send408          send486               fire
	-            none>trying        none>trying        pass>proceeding  none>trying      pass+done>terminated  none>trying      pass+done>terminated  try>proceeding
	send100      resend>proceeding  none>proceeding    pass>proceeding  none>proceeding  pass+done>terminated  none>proceeding  pass+done>terminated  done>terminated
	send200      none>terminated    none>terminated    none>terminated  none>terminated  none>terminated       none>terminated  none>terminated       none>terminated`},
}

func TestServerStates(t *testing.T) {
	for name, c := range serverStates {
		t.Run(name, func(t *testing.T) {
			eachCell(t, c.table, func(reach, event string) string {
				tx := NewServer(c.kind, c.reliable, t0)
				for step := range strings.SplitSeq(reach, ",") {
					serverEvent(t, &tx, step)
				}
				v := serverEvent(t, &tx, event)
				return v.String() + ">" + tx.state.String()
			})
			for _, event := range []string{"send-1", "send99", "send700", "send65736"} {
				tx := NewServer(c.kind, c.reliable, t0)
				if v := serverEvent(t, &tx, event); v != 0 || tx.state != trying || tx.Final() != 0 {
					t.Errorf("%s: %v, %v", event, v, tx.state)
				}
			}
		})
	}
}

func serverEvent(t *testing.T, tx *Server, event string) Verdict {
	now := t0.Add(100 * time.Millisecond)
	switch event {
	case "-":
		return 0
	case "again", "ack":
		return tx.Receive(now, event == "ack")
	case "fire":
		return tx.Fire(tx.Deadline())
	}
	return tx.Send(now, atoi(t, strings.TrimPrefix(event, "send")))
}

// eachCell compares every cell of a table with what got says.
func eachCell(t *testing.T, table string, got func(reach, event string) string) {
	t.Helper()
	var events []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if events == nil {
			events = f[1:]
			continue
		}
		for i, event := range events {
			if g := got(f[0], event); g != f[i+1] {
				t.Errorf("after %s, %s: %s, want %s", f[0], event, g, f[i+1])
			}
		}
	}
}

// TestFinals: what the owner asks before it cancels, answers or tries the next
// target.
func TestFinals(t *testing.T) {
	c := NewClient(Invite, udp, t0)
	c.Cancelled(t0) // too early: ignored, B still ends it
	if c.Provisional() || c.Final() != 0 || !c.end.due(at(t0.Add(Timeout64))) || c.end.due(at(t0.Add(Timeout64-1))) {
		t.Errorf("new: provisional %v, final %d", c.Provisional(), c.Final())
	}
	c.Receive(t0, 100)
	if !c.Provisional() || c.Final() != 0 {
		t.Errorf("after 100: provisional %v, final %d", c.Provisional(), c.Final())
	}
	c.Receive(t0, 200)
	c.Receive(t0, 202)
	before := c
	if c.Cancelled(t0); c != before || c.Final() != 200 {
		t.Errorf("after 200 and CANCEL: %+v", c)
	}

	n := NewClient(NonInvite, udp, t0)
	n.Receive(t0, 100)
	before = n
	if n.Cancelled(t0.Add(time.Second)); n != before {
		t.Error("CANCEL of a non-INVITE changed it")
	}

	s := NewServer(Invite, udp, t0)
	if s.Send(t0, 180); s.Final() != 0 {
		t.Errorf("server after 180: final %d", s.Final())
	}
	s.Send(t0, 603)
	if s.Send(t0, 200); s.Final() != 603 {
		t.Errorf("server after 603 and 200: final %d", s.Final())
	}
}

func TestStrings(t *testing.T) {
	for got, want := range map[string]string{
		Verdict(0).String():                  "none",
		(Pass | Ack | Done).String():         "pass+ack+done",
		(Resend | Timeout | Try).String():    "resend+timeout+try",
		TimerC.String():                      "timerC",
		Invite.String() + NonInvite.String(): "INVITEnon-INVITE",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
