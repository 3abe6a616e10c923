// Package trace prints SIP messages as a ladder, a column for each participant
// and an arrow for each message (RFC 3665 shows such). It owns nothing but the
// steps that it was given, and never prints a credential: of a message only the
// start line, the CSeq number and what kinds of header it has are shown.
package trace

import (
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Step is one message on its way.
type Step struct {
	At    time.Time
	From  string // participants, as the columns name them
	To    string
	Proto string // "UDP", "TCP" …; "" is not shown
	Raw   string // the message
}

// A Ladder collects steps from taps and prints them. Safe for concurrent use.
type Ladder struct {
	mu      sync.Mutex
	columns []string
	names   map[netip.AddrPort]string
	hosts   map[netip.Addr]string
	seen    map[string]bool
	rows    []row
	printed int       // rows that Print has shown
	start   time.Time // of the first row
	last    time.Time // of the last row that Print has shown
	headed  int       // columns in the last heading
}

// A row is one line of the ladder: a message or a note.
type row struct {
	at       time.Time
	from, to string
	label    label
	note     string
}

// New returns a ladder with these participants, from left to right. Others get
// their columns to the right when they first send or receive.
func New(participants ...string) *Ladder {
	return &Ladder{
		columns: participants, names: map[netip.AddrPort]string{}, hosts: map[netip.Addr]string{}, seen: map[string]bool{},
	}
}

// Name says whose an address is, for Tap; port 0 means all of the host's ports
// that have no name of their own.
func (l *Ladder) Name(addr netip.AddrPort, participant string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if addr.Port() == 0 {
		l.hosts[addr.Addr().Unmap()] = participant
		return
	}
	l.names[netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())] = participant
}

// Tap adds a message by its addresses; one without a name gets a column of its
// own under its ip:port.
func (l *Ladder) Tap(at time.Time, from, to netip.AddrPort, proto, raw string) {
	l.Add(Step{At: at, From: l.who(from), To: l.who(to), Proto: proto, Raw: raw})
}

func (l *Ladder) who(a netip.AddrPort) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name, ok := l.names[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())]; ok {
		return name
	}
	if name, ok := l.hosts[a.Addr().Unmap()]; ok {
		return name
	}
	return a.String()
}

// Add adds a message. One that went the same way before is marked as sent
// again.
func (l *Ladder) Add(s Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := read(s.Raw)
	text.proto = strings.ToUpper(s.Proto)
	key := s.From + "\x00" + s.To + "\x00" + s.Raw
	text.again = l.seen[key]
	l.seen[key] = true
	l.add(row{at: s.At, from: s.From, to: s.To, label: text})
}

// Note adds a remark: beside a participant's line, or for who "" across.
func (l *Ladder) Note(at time.Time, who, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(row{at: at, from: who, to: who, note: text})
}

func (l *Ladder) add(r row) {
	if len(l.rows) == 0 || r.at.Before(l.start) {
		l.start = r.at
	}
	for _, who := range []string{r.from, r.to} {
		if who != "" && !slices.Contains(l.columns, who) {
			l.columns = append(l.columns, who)
		}
	}
	l.rows = append(l.rows, r)
}

// A Style is how a ladder is printed.
type Style struct {
	Width  int  // columns of the terminal; 0 is 100, less than 60 is 60
	Colour bool // the caller knows whether it is a terminal and NO_COLOR unset
}

// Print writes what was added since the last Print, in order of time, under a
// heading when it is the first or there are new participants.
func (l *Ladder) Print(w io.Writer, s Style) error {
	l.mu.Lock()
	fresh := slices.Clone(l.rows[l.printed:])
	slices.SortStableFunc(fresh, func(a, b row) int { return a.at.Compare(b.at) })
	c := newCanvas(l.columns, s)
	var b strings.Builder
	if l.headed != len(l.columns) {
		c.heading(&b)
		l.headed = len(l.columns)
	}
	for _, r := range fresh {
		if gap := r.at.Sub(l.last); !l.last.IsZero() && gap >= longGap {
			c.gap(&b, gap)
		}
		c.row(&b, r, r.at.Sub(l.start))
		l.last = r.at
	}
	l.printed = len(l.rows)
	l.mu.Unlock()
	_, err := io.WriteString(w, b.String())
	return err
}

// longGap is from when on a silence is shown as a line of its own.
const longGap = 10 * time.Second

// String returns the whole ladder without colour, for the failure of a test.
func (l *Ladder) String() string {
	l.mu.Lock()
	all := &Ladder{columns: l.columns, rows: l.rows, start: l.start}
	l.mu.Unlock()
	var b strings.Builder
	_ = all.Print(&b, Style{}) // a Builder takes everything
	return b.String()
}
