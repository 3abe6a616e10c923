// Package dialog knows which legs, flow and media belong to a call (RFC 3261
// §12), and the CSeq offset of each direction. Values only; its owner serialises
// access.
package dialog

// A Key names a dialog as its phone knows it: the Call-ID on the LAN, the tag of
// the phone and the tag of the far end. It is told apart by direction even where
// one call passes twice, because a provider sent A's call back to B.
type Key struct{ CallID, Phone, Remote string }

// A Call is one phone's side of a call: an early or confirmed dialog, or several
// that a fork beyond the provider made of one INVITE.
type Call struct {
	ID        uint64
	Upstream  string
	Token     string // the binding its alias belongs to
	Contact   string // the phone's own Contact URI, its remote target
	ByPhone   bool   // the phone sent the INVITE
	Confirmed string // the far end's tag of the 2xx, "" before
	keys      []Key
}

// A Table holds the calls. Not safe for concurrent use.
type Table struct {
	calls map[Key]*Call
	last  uint64
	count int
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{calls: map[Key]*Call{}} }

// New returns a call that no dialog leads to yet.
func (t *Table) New(upstream string, byPhone bool) *Call {
	t.last++
	return &Call{ID: t.last, Upstream: upstream, ByPhone: byPhone}
}

// Add lets a dialog lead to a call; without both tags it adds nothing.
func (t *Table) Add(k Key, c *Call) {
	if k.Phone == "" || k.Remote == "" || t.calls[k] == c {
		return
	}
	if len(c.keys) == 0 {
		t.count++
	}
	t.calls[k] = c
	c.keys = append(c.keys, k)
}

// Find returns the call of a dialog, nil if there is none.
func (t *Table) Find(k Key) *Call { return t.calls[k] }

// Remove forgets a call and all dialogs that lead to it.
func (t *Table) Remove(c *Call) {
	if len(c.keys) > 0 {
		t.count--
	}
	for _, k := range c.keys {
		if t.calls[k] == c {
			delete(t.calls, k)
		}
	}
	c.keys = nil
}

// Len returns how many calls have a dialog.
func (t *Table) Len() int { return t.count }
