package resolve

import (
	"context"
	"errors"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxTTL and the two below bound what a server may make us believe:
	// "no such name" is asked again within minutes, as somebody may be
	// setting it up right now.
	maxTTL         = 24 * time.Hour
	maxNegativeTTL = 5 * time.Minute
	negativeTTL    = 30 * time.Second // where no SOA says

	// staleAfter is how long a fresh answer is waited for where an old one is
	// at hand: a flow that broke is to be re-made at once.
	staleAfter = time.Second

	// patience is how long to wait for records that one can do without: AAAA
	// beside A, and NAPTR, of which many a router's resolver has never heard.
	patience = 3 * time.Second

	// downTime is how long after a query that nobody answered the old answers
	// are taken without asking.
	downTime = 5 * time.Second

	maxCached = 256
)

var errDown = errors.New("dns did not answer a moment ago")

type question struct {
	name  string
	qtype uint16
}

// An answer is what DNS said; no records means that it said there are none.
type answer struct {
	rrs     []dns.RR
	expires time.Time
}

// ask returns the records of a type that name has, none with a nil error when
// DNS says so: from the cache while they live, else by asking, else, when
// nobody answers, the last ones known.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	rrs, err := r.askWithin(ctx, name, qtype, 0)
	if err != nil && ctx.Err() == nil {
		r.unanswered(err)
	}
	return rrs, err
}

// askWithin is ask for what one can do without: unless patience is 0 it waits
// no longer than that, and no answer is no sign that DNS is down.
func (r *Resolver) askWithin(ctx context.Context, name string, qtype uint16, patience time.Duration) ([]dns.RR, error) {
	q := question{canonical(name), qtype}
	old, down := r.cached(q)
	if !old.expires.IsZero() && (time.Now().Before(old.expires) || down && len(old.rrs) > 0) {
		return old.rrs, nil
	}
	if down && patience > 0 {
		return nil, errDown
	}
	if len(old.rrs) > 0 || patience > 0 && !old.expires.IsZero() {
		patience = staleAfter
	}
	asking, cancel := ctx, context.CancelFunc(func() {})
	if patience > 0 {
		asking, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	got, err := r.exchange(asking, q)
	switch {
	case err == nil:
		r.keep(q, got)
		r.answered()
		return got.rrs, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(old.rrs) > 0:
		r.unanswered(err)
		return old.rrs, nil
	}
	return nil, err
}

// cached returns what the cache holds of q, with a zero expiry for nothing,
// and whether DNS was found down a moment ago.
func (r *Resolver) cached(q question) (a answer, down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cache[q], !r.down.IsZero() && time.Since(r.down) < downTime
}

// keep puts an answer in the cache.
func (r *Resolver) keep(q question, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cache) >= maxCached {
		clear(r.cache) // some dozen names are all that a configuration has
	}
	r.cache[q] = a
}

// keepNone remembers for a while that a query is not worth repeating.
func (r *Resolver) keepNone(name string, qtype uint16) {
	r.keep(question{canonical(name), qtype}, answer{expires: time.Now().Add(maxNegativeTTL)})
}

// answered and unanswered log the change from one to the other, once.
func (r *Resolver) answered() {
	r.mu.Lock()
	was := r.down
	r.down = time.Time{}
	r.mu.Unlock()
	if !was.IsZero() {
		r.log.Info("dns answers again")
	}
}

func (r *Resolver) unanswered(err error) {
	r.mu.Lock()
	was := r.down
	r.down = time.Now()
	r.mu.Unlock()
	if was.IsZero() {
		r.log.Warn("dns does not answer", "err", err,
			"cause", "no name server of /etc/resolv.conf answers",
			"remedy", "check the network and the name servers; known addresses stay in use")
	}
}
