package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"pinhole/internal/app"
	"pinhole/internal/config"
	"pinhole/internal/transport"
)

// runProxy is pinhole run.
func runProxy(ctx context.Context, args []string, _, errs io.Writer) int {
	f := flags("run", errs)
	file := f.String("c", "", "configuration `file`")
	upstream := f.String("upstream", "", "the provider's `domain`, to run without a file")
	if code := parse(f, args, errs); code >= 0 {
		return code
	}
	c, err := settings(*file, *upstream)
	if err != nil {
		fmt.Fprintln(errs, err)
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: c.Log.Level}))
	err = app.Run(ctx, c, app.Env{Net: transport.System(), Log: log})
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(errs, "pinhole:", err)
		return exitFailed
	}
	return exitOK
}

// settings reads the file, or makes the configuration of a start without one.
func settings(file, upstream string) (*config.Config, error) {
	switch {
	case file != "" && upstream != "":
		return nil, errors.New("pinhole: -c and --upstream exclude each other")
	case file != "":
		return config.Load(file)
	case upstream != "":
		return config.ForUpstream(upstream)
	}
	return nil, errors.New("pinhole: give a configuration (-c FILE) or a provider (--upstream DOMAIN)")
}

// check is pinhole check.
func check(_ context.Context, args []string, out, errs io.Writer) int {
	f := flags("check", errs)
	file := f.String("c", "", "configuration `file`")
	if code := parse(f, args, errs); code >= 0 {
		return code
	}
	if *file == "" {
		fmt.Fprintln(errs, "pinhole: give a configuration (-c FILE)")
		return exitUsage
	}
	if _, err := config.Load(*file); err != nil {
		fmt.Fprintln(errs, err)
		return exitUsage
	}
	fmt.Fprintln(out, *file+": ok")
	return exitOK
}
