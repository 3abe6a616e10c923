//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are the flags.
type options struct {
	only, up      string
	seconds, runs int
	rate, phones  int
	pinhole, out  string
	floor, check  bool
}

func flags() (*options, *flag.FlagSet) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	f.StringVar(&o.only, "only", "message,register,in,out", "what: Go benchmarks of messages, registrations, calls to the phones, calls from them")
	f.StringVar(&o.up, "up", "udp,tcp,tls", "transports towards the provider")
	f.IntVar(&o.seconds, "seconds", 10, "length of a run, after 2 s of warm-up")
	f.IntVar(&o.runs, "runs", 3, "runs of each; the median is shown")
	f.IntVar(&o.rate, "rate", 0, "units a second; 0: 400 registrations, 50 calls")
	f.IntVar(&o.phones, "phones", 400, "number of phones")
	f.StringVar(&o.pinhole, "pinhole", "bin/pinhole", "the binary to measure")
	f.StringVar(&o.out, "o", "", "file whose table is replaced; none: print only")
	f.BoolVar(&o.check, "check", false, "read the table of the file given with -o: exit 1 if the target is not met")
	f.BoolVar(&o.floor, "floor", false, "be the plain relay (started by the bench itself)")
	return o, f
}

func main() {
	o, f := flags()
	f.Parse(os.Args[1:])
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o *options) error {
	switch {
	case o.floor:
		lan, err := listenUDP(netip.MustParseAddrPort(proxyLAN + ":5060"))
		if err != nil {
			return err
		}
		return runFloor(lan, netip.MustParseAddr(proxyWAN), netip.MustParseAddrPort(providerIP+":5060"))
	case o.check:
		return checkFile(o.out)
	case os.Geteuid() != 0:
		return errors.New("network namespaces need root")
	}
	if err := runOnOneCPU(); err != nil {
		return err
	}
	w, err := newWorld()
	if err != nil {
		return err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- measure(w, o) }()
	select {
	case err = <-done:
	case <-interrupted:
		err = errors.New("interrupted")
	}
	return errors.Join(err, w.close())
}

// runOnOneCPU starts this program again on the generator's CPU, unless it is
// there already: so the whole of it, and the Go runtime's idea of the machine,
// is one CPU from the start.
func runOnOneCPU() error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return err
	}
	if set.Count() == 1 && set.IsSet(peersCPU) {
		return nil
	}
	if !set.IsSet(peersCPU) || !set.IsSet(proxyCPU) {
		return fmt.Errorf("CPUs %d and %d are needed", peersCPU, proxyCPU)
	}
	if err := pin(peersCPU); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, os.Environ())
}

// measure runs everything that is asked for and shows it.
func measure(w *world, o *options) error {
	works := strings.Split(o.only, ",")
	micro := ""
	if i := slices.Index(works, "message"); i >= 0 {
		works = slices.Delete(works, i, i+1)
		var err error
		if micro, err = benchMessage(); err != nil {
			return err
		}
		fmt.Println(micro)
	}
	all, err := proxies(o.pinhole)
	if err != nil {
		return err
	}
	var rows []row
	for _, work := range works {
		for up := range strings.SplitSeq(o.up, ",") {
			more, err := o.compare(w, o.job(work, up), all)
			if err != nil {
				return err
			}
			rows = append(rows, more...)
		}
	}
	text := report(o, rows, micro)
	fmt.Println("\n" + text)
	if o.out == "" {
		return nil
	}
	return replaceTable(o.out, text)
}

// compare runs one job through all proxies, which take turns, so that what else
// the machine does hits them alike.
func (o *options) compare(w *world, j job, all []proxy) ([]row, error) {
	runs := make([][]result, len(all))
	for range o.runs {
		for i := range all {
			p := &all[i]
			if p.only != "" && p.only != j.up {
				continue
			}
			res, err := j.run(w, p)
			if err != nil {
				return nil, err
			}
			fmt.Println(res.line(j, p.name))
			runs[i] = append(runs[i], res)
		}
	}
	var rows []row
	for i, results := range runs {
		if len(results) > 0 {
			rows = append(rows, newRow(j, all[i].name, results))
		}
	}
	return rows, nil
}

func (o *options) job(work, up string) job {
	j := job{work: work, up: up, phones: o.phones, rate: o.rate, warm: 2 * time.Second, measure: time.Duration(o.seconds) * time.Second}
	if j.rate == 0 {
		j.rate = 50
		if work == "register" {
			j.rate = 400
		}
	}
	return j
}

// line shows one run.
func (r result) line(j job, name string) string {
	s := fmt.Sprintf("%-8s %-3s %-8s %6d units %3d failed %3d resent %3d repeated  cpu %5.0f µs (ticks %5.0f)  p50 %5.0f p99 %6.0f µs  rss %5.1f pss %5.1f MiB  generator %2.0f%% other %2.0f%% steal %2.0f%%",
		j.work, j.up, name, r.units, r.failed, r.resent, r.repeated, micro(r.cpu), micro(r.ticks), micro(r.p50), micro(r.p99),
		mebi(r.rss), mebi(r.pss), 100*r.peers, 100*r.other, 100*r.steal)
	if r.first != "" {
		s += "\n  the first failure: " + strings.ReplaceAll(strings.TrimSpace(r.first), "\n", "\n    ")
	}
	return s
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

// median returns the middle of some values, the lower of two.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return s[(len(s)-1)/2]
}
