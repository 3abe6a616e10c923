package transport_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"pinhole/internal/transport"
	"pinhole/testbed/need"
)

// TestSystemWatch: a link that comes up is told, and the watch ends with its
// context.
func TestSystemWatch(t *testing.T) {
	need.Root(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready := make(chan int, 1)
	told := make(chan struct{}, 100)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread and its namespace end with us
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- -1
			done <- err
			return
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			ready <- -1
			done <- err
			return
		}
		ready <- fd
		done <- transport.System().Watch(ctx, func() {
			select {
			case told <- struct{}{}:
			default:
			}
		})
	}()
	fd := <-ready
	if fd < 0 {
		t.Fatal(<-done)
	}
	defer unix.Close(fd)
	up := false
	eventually(t, "told", func() bool {
		up = !up
		setLoopback(t, fd, up)
		return len(told) > 0
	})
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// setLoopback brings lo up or down in the namespace of the socket fd.
func setLoopback(t *testing.T, fd int, up bool) {
	t.Helper()
	r, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	if up {
		r.SetUint16(unix.IFF_UP)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		t.Fatal(err)
	}
}
