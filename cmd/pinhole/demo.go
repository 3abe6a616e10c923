package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// demo is pinhole demo.
func demo(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flags("demo", errs)
	once := f.Bool("once", false, "end after the day instead of staying up for a softphone")
	if code := parse(f, args, errs); code >= 0 {
		return code
	}
	dir, err := os.MkdirTemp("", "pinhole-demo-")
	if err != nil {
		fmt.Fprintln(errs, "pinhole:", err)
		return exitFailed
	}
	defer os.RemoveAll(dir)
	err = runDemo(ctx, dir, *once, newScreen(out))
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(errs, "pinhole:", err)
		return exitFailed
	}
	return exitOK
}

// runDemo builds the stage, lives the day and, unless once, stays up until ctx
// ends.
func runDemo(ctx context.Context, dir string, once bool, s *screen) error {
	st, err := newStage(ctx, dir, s)
	if err != nil {
		return err
	}
	defer st.close()
	start := time.Now()
	for _, step := range day {
		s.heading(step.title)
		if err := step.do(ctx, st); err != nil {
			s.ladder(st.ladder)
			s.failed(err)
			s.log(st.log.String())
			return err
		}
		s.ladder(st.ladder)
		for _, fact := range st.facts {
			s.fact(fact)
		}
		st.facts = nil
	}
	s.end(time.Since(start))
	if once {
		return nil
	}
	s.invite(st)
	select {
	case <-ctx.Done():
		return nil
	case err := <-st.ended:
		return err
	}
}
