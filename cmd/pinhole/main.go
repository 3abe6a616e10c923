// Command pinhole turns flags, signals and exit codes into a run of the program;
// it holds no SIP.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set by the linker.
var version = ""

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it could not do its work
	exitUsage  = 2 // the flags or the configuration are wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// A command is one word of the command line.
type command struct {
	name, args, what string
	run              func(ctx context.Context, args []string, out, errs io.Writer) int
}

func commands() []command {
	return []command{
		{"run", "[-c FILE | --upstream DOMAIN]", "carry the phones of this LAN to their provider", runProxy},
		{"check", "-c FILE", "say what is wrong in a configuration, without starting", check},
		{"demo", "[--once]", "a provider, a STUN server and two phones on loopback live their day", demo},
		{"version", "", "print the version", printVersion},
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 0 {
		usage(errs)
		return exitUsage
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], out, errs)
		}
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(out)
		return exitOK
	}
	fmt.Fprintf(errs, "pinhole: no command %q\n\n", args[0])
	usage(errs)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "pinhole: a transparent, NAT-aware SIP registration proxy")
	fmt.Fprintln(w)
	for _, c := range commands() {
		fmt.Fprintf(w, "  pinhole %-42s %s\n", c.name+" "+c.args, c.what)
	}
}

// flags returns a flag set that reports to errs and never exits by itself.
func flags(name string, errs io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("pinhole "+name, flag.ContinueOnError)
	f.SetOutput(errs)
	return f
}

// parse reads a command's flags and refuses what is left over; the code is -1
// where the command may go on.
func parse(f *flag.FlagSet, args []string, errs io.Writer) int {
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case f.NArg() > 0:
		fmt.Fprintf(errs, "pinhole: unexpected %q\n", f.Arg(0))
		return exitUsage
	}
	return -1
}

func printVersion(_ context.Context, args []string, out, errs io.Writer) int {
	if code := parse(flags("version", errs), args, errs); code >= 0 {
		return code
	}
	fmt.Fprintln(out, "pinhole", versionText())
	return exitOK
}

// versionText is the linker's version, else the one the module was built at.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
