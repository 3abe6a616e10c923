package transaction

// Fork is the response context of one forwarded request (RFC 3261 §16.7): its
// branches and what of their responses goes back. The zero value is that of an
// INVITE without branches.
//
// A branch is a target. Tries at several servers of one target (RFC 3263 §4.3)
// are one branch whose last outcome is told. All branches that may be tried
// later are added before the first outcome is told, for the best response is
// chosen as soon as none is pending.
type Fork struct {
	first [4]int16 // final status of each branch, 0 while pending; no allocation for few
	more  []int16
	n     int

	pending    int
	best       int   // branch with the best final response so far
	bestRank   uint8 // its rank, 0 while there is none
	challenges int   // 401 and 407 received

	kind               Kind
	cancelled, decided bool
}

// Decision is what the owner does about an outcome.
type Decision struct {
	// Forward the response of Branch now: the one just told, or the best final
	// one. Where that branch failed without a response the owner makes one.
	// The owner never forwards a 503 (RFC 3261 §16.7 step 6: 500 instead).
	Forward bool
	Branch  int

	// CancelOthers: send CANCEL on every branch still Pending. It comes once,
	// and never for a non-INVITE.
	CancelOthers bool

	// Merge: Branch answered 401 or 407 and is not alone in this: add the
	// WWW-Authenticate and Proxy-Authenticate lines of the other branches whose
	// Status is 401 or 407 (RFC 3261 §16.7 step 7).
	Merge bool
}

// NewFork returns the response context of a request of kind k.
func NewFork(k Kind) Fork { return Fork{kind: k} }

// Add adds a pending branch and returns its number, counted from 0.
func (f *Fork) Add() int {
	i := f.n
	if i >= len(f.first) {
		f.more = append(f.more, 0)
	}
	f.n++
	f.pending++
	return i
}

func (f *Fork) at(i int) *int16 {
	if i < len(f.first) {
		return &f.first[i]
	}
	return &f.more[i-len(f.first)]
}

// Len returns the number of branches.
func (f *Fork) Len() int { return f.n }

// Status returns the final status of branch i, as received or as given to Fail;
// 0 while it is pending.
func (f *Fork) Status(i int) int { return int(*f.at(i)) }

// Pending reports whether branch i has no final response yet.
func (f *Fork) Pending(i int) bool { return *f.at(i) == 0 }

// Receive takes a response of branch i, which must be one that Add returned.
func (f *Fork) Receive(i, status int) Decision {
	switch {
	case status <= 100:
		return Decision{}
	case status < 200:
		return Decision{Forward: f.Pending(i) && !f.decided, Branch: i}
	case status < 300:
		return f.accept(i, status)
	}
	return f.settle(i, status, false)
}

// Fail ends branch i without a response, as on 408 (a time-out) or 503 (a
// transport error); another 4xx or 5xx where the owner knows better (a phone
// that cannot be reached: 480), or for a branch that was never tried.
func (f *Fork) Fail(i, status int) Decision { return f.settle(i, status, true) }

// accept: every 2xx to an INVITE goes back at once, repeats and those of other
// branches too; of a non-INVITE the first (§16.7 step 5).
func (f *Fork) accept(i, status int) Decision {
	f.finish(i, status)
	d := Decision{Forward: f.kind == Invite || !f.decided, Branch: i, CancelOthers: f.cancelOthers()}
	f.decided = true
	return d
}

func (f *Fork) settle(i, status int, failed bool) Decision {
	if !f.Pending(i) {
		return Decision{}
	}
	f.finish(i, status)
	if !failed && (status == 401 || status == 407) {
		f.challenges++
	}
	if r := rank(status, failed); r > f.bestRank {
		f.best, f.bestRank = i, r
	}
	if f.decided {
		return Decision{}
	}
	if f.pending > 0 {
		// A 6xx ends the search but waits for the others: one of them may
		// still answer 2xx (§16.7 step 5).
		return Decision{CancelOthers: status >= 600 && f.cancelOthers()}
	}
	f.decided = true
	return Decision{
		Forward: true,
		Branch:  f.best,
		Merge:   f.bestRank == rankChallenge && f.challenges > 1,
	}
}

func (f *Fork) finish(i, status int) {
	if f.Pending(i) {
		*f.at(i) = int16(status)
		f.pending--
	}
}

// cancelOthers reports, once, that there are branches to cancel.
func (f *Fork) cancelOthers() bool {
	if f.cancelled || f.pending == 0 || f.kind == NonInvite {
		return false
	}
	f.cancelled = true
	return true
}

// The ranks of final responses (§16.7 step 6). Of equal ones the first stays.
const (
	rankUnavailable uint8 = iota + 1 // 503: says nothing about other requests
	rankServer                       // 5xx
	rankSilent                       // nobody answered, or our own CANCEL did
	rankClient                       // 4xx
	rankRetry                        // 415, 420, 484: how to ask again
	rankChallenge                    // 401, 407: the same, and phones can
	rankRedirect                     // 3xx
	rankGlobal                       // 6xx: nobody else will answer otherwise
)

func rank(status int, failed bool) uint8 {
	switch {
	case status >= 600:
		return rankGlobal
	case status == 503:
		return rankUnavailable
	case status >= 500:
		return rankServer
	case status < 400:
		return rankRedirect
	case failed, status == 408, status == 487:
		return rankSilent
	case status == 401, status == 407:
		return rankChallenge
	case status == 415, status == 420, status == 484:
		return rankRetry
	}
	return rankClient
}
