package binding

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// saved is one series as the state file holds it.
type saved struct {
	ID, Upstream, AOR, User, Instance, PhoneID, CallID string
	CSeq                                               uint32
	Bindings                                           []savedBinding
}

type savedBinding struct {
	Token, Element, URI, Alias, Old string
	Listener, Proto                 string
	Addr, Tuple                     netip.AddrPort
	Gen                             uint64
	Upstream, LAN                   time.Time
	Live                            bool
}

// Save returns all series for the state file.
func (t *Table) Save() ([]byte, error) {
	out := make([]saved, 0, len(t.series))
	for _, s := range t.series {
		v := saved{
			ID: s.ID, Upstream: s.Upstream, AOR: s.AOR, User: s.User, Instance: s.Instance,
			PhoneID: s.PhoneID, CallID: s.CallID, CSeq: s.CSeq,
		}
		for _, b := range s.Bindings {
			v.Bindings = append(v.Bindings, savedBinding{
				Token: b.Token, Element: b.Element, URI: b.URI, Alias: b.Alias, Old: b.Old,
				Listener: b.From.Listener, Proto: b.From.Proto, Addr: b.From.Addr, Tuple: b.Tuple,
				Gen: b.Gen, Upstream: b.Upstream, LAN: b.LAN, Live: b.Live,
			})
		}
		out = append(out, v)
	}
	return json.Marshal(out)
}

// A CSeq on disk may be older than the last one used: refreshes are saved with
// a delay. The registrar must never see one twice (RFC 3261 §10.3-7).
const cseqSkip = 1000

// Load restores what Save wrote; no binding has a path yet.
func (t *Table) Load(data []byte) error {
	var in []saved
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("reading saved bindings: %w", err)
	}
	for _, v := range in {
		s := &Series{
			ID: v.ID, Upstream: v.Upstream, AOR: v.AOR, User: v.User, Instance: v.Instance,
			PhoneID: v.PhoneID, CallID: v.CallID, CSeq: v.CSeq + cseqSkip,
		}
		for i, w := range v.Bindings {
			b := &Binding{
				Series: s, Index: i, Token: w.Token, Element: w.Element, URI: w.URI,
				Alias: w.Alias, Tuple: w.Tuple, Old: w.Old, Gen: w.Gen, Upstream: w.Upstream, LAN: w.LAN, Live: w.Live,
				From: Source{Listener: w.Listener, Proto: w.Proto, Addr: w.Addr},
			}
			s.Bindings = append(s.Bindings, b)
			t.byToken[b.Token] = b
		}
		t.index(s)
	}
	return nil
}
