package transport_test

import (
	"context"
	"errors"
	"testing"

	"pinhole/internal/transport"
)

// TestSystemWatch ends with its context; the lab changes addresses under it.
func TestSystemWatch(t *testing.T) {
	leaks(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- transport.System().Watch(ctx, func() {}) }()
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
