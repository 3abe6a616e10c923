// Package transaction says for each SIP transaction what to send and when to
// be woken (RFC 3261 §17 with RFC 6026 and RFC 4320), finds transactions again
// (branch and key, RFC 3261 §17.1.3 and §17.2.3), and chooses the best answer
// of a forked request (RFC 3261 §16.7).
//
// Everything here is a small value: no I/O, goroutine, lock or timer. The owner
// holds the bytes sent last and a heap of deadlines, calls a method for each
// event with the time it happened, does what the verdict says, and then asks
// for the new deadline. Values of one transaction are not safe for concurrent
// use.
package transaction

import "strings"

// Kind tells INVITE transactions from all others; the two have different
// state machines.
type Kind uint8

// The kinds of transaction. ACK has none (RFC 3261 §17).
const (
	Invite Kind = iota
	NonInvite
)

// String returns the kind as RFC 3261 writes it.
func (k Kind) String() string {
	if k == Invite {
		return "INVITE"
	}
	return "non-INVITE"
}

// Verdict is a set of things the owner must do now; 0 is nothing. Several bits
// are done in the order of their constants, Done last.
type Verdict uint8

// The verdicts.
const (
	// Pass: hand the response to the transaction user (client), put the
	// response on the wire (server, Send), or hand on the ACK (server,
	// Receive). A client passes 100 too; Fork keeps it from going further.
	Pass Verdict = 1 << iota

	// Resend what was sent last: the request (client) or the response (server).
	Resend

	// Ack this non-2xx final (client INVITE): same branch, hop by hop
	// (RFC 3261 §17.1.1.3).
	Ack

	// Timeout: timer B, F or H ran out, or nothing final came for 64*T1 after
	// our CANCEL. A client without an answer acts as on 408.
	Timeout

	// TimerC ran out: send CANCEL where Provisional, and in either case the
	// transaction now ends by itself after 64*T1 (RFC 3261 §16.8).
	TimerC

	// Try: a 100 (Trying) is due now (server). The transaction counts it as
	// sent: a retransmission is answered with Resend.
	Try

	// Done: the transaction is over, forget it. It comes once; every later
	// event is 0.
	Done
)

var verdictNames = [...]string{"pass", "resend", "ack", "timeout", "timerC", "try", "done"}

// String lists the bits, for logs and tests: "pass+done"; "none" for 0.
func (v Verdict) String() string {
	if v == 0 {
		return "none"
	}
	var names []string
	for i, name := range verdictNames {
		if v&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// state is the state of either machine; each uses those of its RFC figure.
type state uint8

const (
	trying     state = iota // Calling (client INVITE), Trying
	proceeding              // a provisional came or went
	accepted                // INVITE only: a 2xx came or went (RFC 6026)
	completed               // INVITE: a non-2xx final; others: any final
	confirmed               // server INVITE only: the ACK came
	terminated
)

func (s state) String() string {
	return [...]string{"trying", "proceeding", "accepted", "completed", "confirmed", "terminated"}[s]
}
