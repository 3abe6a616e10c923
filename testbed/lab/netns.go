//go:build lab

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// namePrefix starts the name of each namespace of the lab; the process id
// follows, so that labs side by side never meet and leftovers are known.
const namePrefix = "pinhole-"

// commandTime bounds each configuring command (ip, nft, conntrack, kamcmd):
// they take milliseconds.
const commandTime = 20 * time.Second

// A Netns is a named network namespace. Its methods may be called from several
// goroutines.
type Netns struct {
	Name string
	file *os.File
}

// newNetns makes an empty namespace with lo up and IPv6 off (nothing in the
// lab uses it, and its own chatter is noise in captures).
func newNetns(name string) (*Netns, error) {
	if _, err := run("", "ip", "netns", "add", name); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join("/run/netns", name))
	if err != nil {
		return nil, errors.Join(err, deleteNetns(name))
	}
	n := &Netns{Name: name, file: f}
	if err := errors.Join(n.sysctl("net/ipv6/conf/all/disable_ipv6", "1"), n.ip("link set lo up")); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// close deletes the namespace; its links go with the last socket in it.
func (n *Netns) close() error {
	return errors.Join(n.file.Close(), deleteNetns(n.Name))
}

func deleteNetns(name string) error {
	_, err := run("", "ip", "netns", "delete", name)
	return err
}

// outside is the namespace the tests run in.
var outside = sync.OnceValues(func() (*os.File, error) { return os.Open("/proc/self/ns/net") })

// do runs f on a thread inside the namespace. Sockets that f makes stay there
// when it has returned; goroutines that f starts run outside.
func (n *Netns) do(f func() error) error {
	home, err := outside()
	if err != nil {
		return err
	}
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			errc <- fmt.Errorf("entering namespace %s: %w", n.Name, err)
			return
		}
		err := f()
		// The thread must go on: processes that it started end with it. One
		// that cannot come home stays locked and is never used again.
		if home := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); home != nil {
			err = errors.Join(err, fmt.Errorf("leaving namespace %s: %w", n.Name, home))
		} else {
			runtime.UnlockOSThread()
		}
		errc <- err
	}()
	return <-errc
}

// ip runs lines of ip(8) in the namespace.
func (n *Netns) ip(lines ...string) error {
	_, err := run(strings.Join(lines, "\n")+"\n", "ip", "-n", n.Name, "-batch", "-")
	return err
}

// nft loads rules in the namespace, all or none.
func (n *Netns) nft(rules string) error {
	_, err := run(rules, "ip", "netns", "exec", n.Name, "nft", "-f", "-")
	return err
}

// exec runs a short command in the namespace and returns what it printed.
func (n *Netns) exec(argv ...string) (string, error) {
	return run("", "ip", append([]string{"netns", "exec", n.Name}, argv...)...)
}

// sysctl sets a network parameter of the namespace; name has slashes.
func (n *Netns) sysctl(name, value string) error {
	return n.do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644)
	})
}

// run runs a short command with stdin and returns what it printed; what it said
// on its error output is in the error.
func run(stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}

// sweep takes away the namespaces of labs whose process is gone (a killed run
// cleans up nothing), with whatever still runs in them.
func sweep() error {
	names, err := filepath.Glob(filepath.Join("/run/netns", namePrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range names {
		name := filepath.Base(path)
		owner, _, _ := strings.Cut(strings.TrimPrefix(name, namePrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		pids, err := run("", "ip", "netns", "pids", name)
		errs = append(errs, err)
		for _, p := range strings.Fields(pids) {
			if left, err := strconv.Atoi(p); err == nil {
				errs = append(errs, syscall.Kill(left, syscall.SIGKILL))
			}
		}
		errs = append(errs, deleteNetns(name))
	}
	return errors.Join(errs...)
}
