//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A netns is a named network namespace.
type netns struct {
	name string
	file *os.File
	home *os.File // the namespace we come from
}

// newNetns makes an empty namespace with lo up and IPv6 off. Its name is of the
// form that the lab takes away when its owner is gone.
func newNetns(role string) (*netns, error) {
	name := fmt.Sprintf("pinhole-%d-%s", os.Getpid(), role)
	if err := command("", "ip", "netns", "add", name); err != nil {
		return nil, err
	}
	n := &netns{name: name}
	var err error
	if n.file, err = os.Open(filepath.Join("/run/netns", name)); err != nil {
		return nil, errors.Join(err, n.close())
	}
	if n.home, err = os.Open("/proc/self/ns/net"); err != nil {
		return nil, errors.Join(err, n.close())
	}
	quiet := func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0o644) }
	if err := errors.Join(n.do(quiet), n.ip("link set lo up")); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// close deletes the namespace.
func (n *netns) close() error {
	if n.file != nil {
		n.file.Close()
	}
	if n.home != nil {
		n.home.Close()
	}
	return command("", "ip", "netns", "delete", n.name)
}

// do runs f on a thread inside the namespace: sockets that it opens stay there.
func (n *netns) do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // kept if the way home fails: the thread then ends with the goroutine
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering namespace %s: %w", n.name, err)
			return
		}
		err := f()
		if lost := unix.Setns(int(n.home.Fd()), unix.CLONE_NEWNET); lost != nil {
			err = errors.Join(err, fmt.Errorf("leaving namespace %s: %w", n.name, lost))
		} else {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// ip runs lines of ip(8) in the namespace.
func (n *netns) ip(lines ...string) error {
	return command(strings.Join(lines, "\n")+"\n", "ip", "-n", n.name, "-batch", "-")
}

// command runs a short command; what it said is in the error.
func command(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}
