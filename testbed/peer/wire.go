package peer

import (
	"net"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// A wire is the sip.Connection of one transaction: sipgo's state machine says
// when to send, the bytes are the ones this package wrote.
type wire struct {
	flow *Flow
	mu   sync.Mutex
	out  map[sip.Message]string // bytes of a message handed to the machine
	ack  func() string          // bytes of the ACK to a non-2xx
}

func (w *wire) LocalAddr() net.Addr    { return net.UDPAddrFromAddrPort(w.flow.local) }
func (w *wire) Ref(int) int            { return 1 }
func (w *wire) TryClose() (int, error) { return 1, nil }
func (w *wire) Close() error           { return nil }

// WriteMsg sends the bytes that belong to m.
func (w *wire) WriteMsg(m sip.Message) error {
	w.mu.Lock()
	raw, ok := w.out[m]
	w.mu.Unlock()
	if !ok {
		raw = m.String()
		if req, isReq := m.(*sip.Request); isReq && req.IsAck() && w.ack != nil {
			raw = w.ack()
		}
	}
	return w.flow.ep.sendRaw(w.flow, raw)
}

func (w *wire) hold(m sip.Message, raw string) {
	w.mu.Lock()
	w.out[m] = raw
	w.mu.Unlock()
}
