//go:build lab

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTime is what a program gets to end by itself after SIGTERM.
const stopTime = 3 * time.Second

// logSize bounds what is kept of one party's log.
const logSize = 1 << 20

// A Log keeps the last lines that a party said, each with its time. Safe for
// concurrent use; it is the io.Writer of processes.
type Log struct {
	mu   sync.Mutex
	text []byte
	part bool // the last line is not finished
}

// Write appends text; each new line gets the time.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(string(b)) {
		if !l.part {
			l.text = time.Now().AppendFormat(l.text, "15:04:05.000 ")
		}
		l.text = append(l.text, line...)
		l.part = !strings.HasSuffix(line, "\n")
	}
	if len(l.text) > logSize {
		l.text = append(l.text[:0], l.text[len(l.text)-logSize/2:]...)
	}
	return len(b), nil
}

// Printf writes one line.
func (l *Log) Printf(format string, args ...any) {
	fmt.Fprintf(l, format+"\n", args...)
}

// String returns everything kept.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// A Process is a program that runs in a namespace in a process namespace of its
// own: when it is killed, or this test dies, so is everything that it started.
type Process struct {
	Log  *Log
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how, then
}

// start runs a program in the namespace; dir is its working folder.
func (n *Netns) start(log *Log, dir string, argv ...string) (*Process, error) {
	cmd := exec.Command("ip", append([]string{"netns", "exec", n.Name}, argv...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = stopTime
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	p := &Process{Log: log, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		log.Printf("-- %s ended: %v", argv[0], p.err)
	}()
	return p, nil
}

// Signal sends a signal to the program.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Ended says whether the program has ended, and how.
func (p *Process) Ended() (bool, error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// Kill ends the program at once (kill -9) and waits for its end.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// Stop asks the program to end, and kills it when it does not.
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		return p.Kill()
	}
}

// wait waits for the program's own good end.
func (p *Process) wait(d time.Duration) error {
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-p.done:
		return p.err
	case <-late.C:
		return fmt.Errorf("%s has not ended after %v", p.cmd.Args[3], d)
	}
}
