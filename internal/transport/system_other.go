//go:build !linux

package transport

import (
	"context"
	"errors"
	"syscall"
	"time"
)

func control(bool) func(network, address string, c syscall.RawConn) error { return nil }

// SetUserTimeout implements Conn.
func (c tcpConn) SetUserTimeout(time.Duration) error { return errors.ErrUnsupported }

// Unacked implements Conn.
func (c tcpConn) Unacked() (int, error) { return 0, errors.ErrUnsupported }

func watch(context.Context, func()) error { return errors.ErrUnsupported }
