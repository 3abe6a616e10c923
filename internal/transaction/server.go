package transaction

import "time"

// Server is a server transaction, INVITE (RFC 3261 §17.2.1, RFC 6026 §7.1) or
// not (§17.2.2, RFC 4320). Transport errors do not touch it: the response is
// lost, the state stays to absorb repeats (RFC 6026 §7.1). The zero value is
// not usable.
type Server struct {
	next  instant // the 100 is due; timer G
	end   instant // timers H, I, J, L; a non-INVITE without an answer: 64*T1
	final int16
	kind  Kind
	state state
	sent  uint8 // retransmissions so far, while the interval still grows

	reliable bool
}

// NewServer starts the transaction of a request that just arrived; reliable
// says that it came over a stream.
func NewServer(k Kind, reliable bool, now time.Time) Server {
	t := at(now)
	s := Server{kind: k, reliable: reliable}
	if k == Invite {
		s.next = t.after(TryInviteAfter)
		return s
	}
	// After 64*T1 the client has given up and a final response would be a stray
	// (RFC 4320 §4.2), so an unanswered request ends then.
	s.next, s.end = t.after(TryOtherAfter), t.after(Timeout64)
	return s
}

// Receive takes a request that matched the transaction: a retransmission, or
// with ack the ACK of an INVITE. A retransmission gets what was sent last, or
// nothing: a 2xx is repeated by the callee alone (RFC 6026 §7.1). The ACK ends
// a non-2xx, and passes after a 2xx (a client that used the INVITE's branch).
func (s *Server) Receive(now time.Time, ack bool) Verdict {
	switch {
	case ack && s.state == accepted:
		return Pass
	case ack && s.kind == Invite && s.state == completed:
		s.next = 0
		return s.enter(confirmed, at(now), T4) // I
	case !ack && (s.state == proceeding || s.state == completed):
		return Resend
	}
	return 0
}

// enter goes to a state that only absorbs repeats, which a stream cannot bring.
func (s *Server) enter(st state, now instant, wait time.Duration) Verdict {
	if s.reliable {
		return s.terminate()
	}
	s.state, s.end = st, now.after(wait)
	return 0
}

func (s *Server) terminate() Verdict {
	s.state, s.next, s.end = terminated, 0, 0
	return Done
}

// Send asks whether the response with this status may go out now: Pass (and
// perhaps Done: that was all), or 0 when it must be dropped: a second final
// response, a provisional after a final one, and for a non-INVITE (RFC 4320) a
// 408, a provisional other than 100, a 100 too early. Further 2xx to an INVITE
// pass until timer L.
func (s *Server) Send(now time.Time, status int) Verdict {
	t := at(now)
	switch {
	case status < 100 || status > 699:
		return 0
	case s.state == accepted && status >= 200 && status < 300:
		return Pass
	case s.state > proceeding:
		return 0
	case status < 200:
		return s.sendProvisional(t, status)
	case s.kind == Invite:
		return s.sendInviteFinal(t, status)
	case status == 408:
		return 0
	}
	s.final, s.next = int16(status), 0
	return Pass | s.enter(completed, t, Timeout64) // J
}

func (s *Server) sendProvisional(now instant, status int) Verdict {
	if s.kind == NonInvite {
		early := !s.reliable && s.next != 0 && !s.next.due(now)
		if status != 100 || early {
			return 0
		}
	}
	s.state, s.next = proceeding, 0
	return Pass
}

func (s *Server) sendInviteFinal(now instant, status int) Verdict {
	s.final, s.next, s.end = int16(status), 0, now.after(Timeout64) // L, H
	if status < 300 {
		s.state = accepted
		return Pass
	}
	s.state = completed
	if !s.reliable {
		s.next = now.after(T1) // G
	}
	return Pass
}

// Fire does what is due at now; before Deadline it does nothing. Called late it
// acts once on what is due.
func (s *Server) Fire(now time.Time) Verdict {
	t := at(now)
	switch {
	case s.end.due(t):
		if s.kind == Invite && s.state == completed {
			return Timeout | s.terminate() // H: no ACK came
		}
		return s.terminate() // I, J, L; a non-INVITE nobody answered
	case !s.next.due(t):
		return 0
	case s.state == completed:
		d := interval(s.sent+1, T2)
		if d < T2 {
			s.sent++
		}
		s.next = t.after(d) // G
		return Resend
	}
	s.state, s.next = proceeding, 0
	return Try
}

// Deadline is when to call Fire next, zero for never: an INVITE that was given
// a provisional response waits for its user, whose client transactions end.
func (s *Server) Deadline() time.Time { return earlier(s.next, s.end).time() }

// Final is the status of the first final response sent, 0 before.
func (s *Server) Final() int { return int(s.final) }
