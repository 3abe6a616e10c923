//go:build docker

package docker

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Phone is a baresip in a container, told what to do over its control socket.
type Phone struct {
	Name, User, IP string

	w      *World
	in     io.WriteCloser
	mu     sync.Mutex
	events []event
}

// An event is what baresip says of itself.
type event struct {
	Type      string `json:"type"`
	Account   string `json:"accountaor"`
	Direction string `json:"direction"`
	Peer      string `json:"peeruri"`
	ID        string `json:"id"`
	Param     string `json:"param"`
	Event     bool   `json:"event"`
	OK        bool   `json:"ok"`
	Data      string `json:"data"`
}

// phone connects to the control socket of a baresip.
func (w *World) phone(name, user, ip string) *Phone {
	w.t.Helper()
	p := &Phone{Name: name, User: user, IP: ip, w: w}
	p.connect()
	return p
}

// connect opens the control socket, which ends with its container.
func (p *Phone) connect() {
	p.w.t.Helper()
	p.w.eventually(p.Name+" listens for commands", patience, func() error {
		_, err := p.w.in(p.Name, "bash", "-c", "ss -Hltn sport = 4444 | grep -q .")
		return err
	})
	cmd := exec.Command("docker", "exec", "-i", container(p.Name), "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/4444; cat <&3 & exec cat >&3")
	in, err := cmd.StdinPipe()
	p.w.must(err)
	out, err := cmd.StdoutPipe()
	p.w.must(err)
	p.w.must(cmd.Start())
	p.in = in
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read(bufio.NewReader(out))
	}()
	p.w.t.Cleanup(func() {
		in.Close()
		if err := cmd.Process.Kill(); err == nil {
			<-done
			_ = cmd.Wait() // killed, which is not worth a word
		}
	})
}

// read takes netstrings of JSON until the socket ends.
func (p *Phone) read(r *bufio.Reader) {
	for {
		head, err := r.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
		if err != nil {
			return
		}
		text := make([]byte, n+1) // with its comma
		if _, err := io.ReadFull(r, text); err != nil {
			return
		}
		var e event
		if json.Unmarshal(text[:n], &e) != nil {
			continue
		}
		p.mu.Lock()
		p.events = append(p.events, e)
		p.mu.Unlock()
	}
}

// do sends a command.
func (p *Phone) do(command, params string) {
	p.w.t.Helper()
	text, err := json.Marshal(map[string]string{"command": command, "params": params})
	p.w.must(err)
	_, err = fmt.Fprintf(p.in, "%d:%s,", len(text), text)
	p.w.must(err)
}

// mark is the number of events so far.
func (p *Phone) mark() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.events)
}

// after returns the first event of a type after a mark.
func (p *Phone) after(mark int, types ...string) (event, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events[mark:] {
		for _, want := range types {
			if e.Type == want {
				return e, true
			}
		}
	}
	return event{}, false
}

// await waits for an event of a type after a mark.
func (p *Phone) await(mark int, within time.Duration, types ...string) event {
	p.w.t.Helper()
	var e event
	p.w.eventually(fmt.Sprintf("%s says %v", p.Name, types), within, func() error {
		var ok bool
		if e, ok = p.after(mark, types...); !ok {
			p.mu.Lock()
			defer p.mu.Unlock()
			return fmt.Errorf("it said %+v", p.events[mark:])
		}
		return nil
	})
	return e
}

// A Call is made by one phone to another; the callee answers at once.
type Call struct {
	w            *World
	From, To     *Phone
	fromAt, toAt int // marks of both phones
	lan, wan     int // marks of the captures
}

// call dials and returns at once.
func (p *Phone) call(to *Phone) *Call {
	p.w.t.Helper()
	c := &Call{w: p.w, From: p, To: to, fromAt: p.mark(), toAt: to.mark(), lan: p.w.LAN.mark(), wan: p.w.WAN.mark()}
	p.do("dial", to.User)
	return c
}

// answered demands that the call is answered.
func (c *Call) answered() {
	c.w.t.Helper()
	e := c.From.await(c.fromAt, patience, "CALL_ESTABLISHED", "CALL_CLOSED")
	if e.Type != "CALL_ESTABLISHED" {
		c.w.t.Fatalf("%s calls %s: %s", c.From.User, c.To.User, e.Param)
	}
	if c.To.in != nil {
		c.To.await(c.toAt, patience, "CALL_ESTABLISHED")
	}
}

// hangUp ends the call from one end and waits for its end at the other.
func (c *Call) hangUp(by *Phone) {
	c.w.t.Helper()
	by.do("hangup", "")
	for p, mark := range map[*Phone]int{c.From: c.fromAt, c.To: c.toAt} {
		if p.in != nil {
			p.await(mark, patience, "CALL_CLOSED")
		}
	}
}
