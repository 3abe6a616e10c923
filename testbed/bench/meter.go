//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of utime, stime and /proc/stat: 1/USER_HZ, which is the
// same on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// newGroup makes a control group (version 2, where CPU time is counted without
// any controller), or returns "".
func newGroup() string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 2 && f[2] == "cgroup2" {
			dir, err := os.MkdirTemp(f[1], "pinhole-bench-")
			if err != nil {
				return ""
			}
			return dir
		}
	}
	return ""
}

// removeGroup takes the group away, as soon as the last process has left it.
func (r *process) removeGroup() error {
	if r.group == "" {
		return nil
	}
	late := time.Now().Add(5 * time.Second)
	for {
		err := syscall.Rmdir(r.group)
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(late) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A reading is what was used up to one moment.
type reading struct {
	at      time.Time
	ticks   time.Duration // the proxy's utime+stime, all processes
	group   time.Duration // the same by its control group, exact to a microsecond; 0 if there is none
	peers   time.Duration // our own
	machine time.Duration // everybody's, on all CPUs
	steal   time.Duration
}

// read takes a reading.
func (r *process) read() (reading, error) {
	now := reading{at: time.Now()}
	for _, pid := range r.pids() {
		now.ticks += processTime(pid)
	}
	if r.group != "" {
		text, err := os.ReadFile(filepath.Join(r.group, "cpu.stat"))
		if err != nil {
			return now, err
		}
		now.group = time.Duration(keyed(string(text), "usage_usec")) * time.Microsecond
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return now, err
	}
	now.peers = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return now, err
	}
	now.machine, now.steal, err = machineTime(string(stat))
	return now, err
}

// cpu is the proxy's own time, by the better of the two clocks.
func (r reading) cpu() time.Duration {
	if r.group != 0 {
		return r.group
	}
	return r.ticks
}

// machineTime reads the first line of /proc/stat: what all CPUs worked, and
// what the hypervisor took.
func machineTime(stat string) (work, steal time.Duration, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, fmt.Errorf("reading /proc/stat: first line is %q", line)
	}
	for i, name := range f[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.Atoi(name)
		if err != nil {
			return 0, 0, fmt.Errorf("reading /proc/stat: %w", err)
		}
		switch i {
		case 3, 4:
		case 7:
			steal = time.Duration(n) * clockTick
		default:
			work += time.Duration(n) * clockTick
		}
	}
	return work, steal, nil
}

// processTime is utime+stime of one process with all its threads, 0 if it is
// gone.
func processTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * clockTick
}

// pids returns the process and all that descend from it.
func (r *process) pids() []int {
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 {
			parents[pid], _ = strconv.Atoi(f[1])
		}
	}
	var out []int
	for pid := range parents {
		for up := pid; up > 1; up = parents[up] {
			if up == r.cmd.Process.Pid {
				out = append(out, pid)
				break
			}
		}
	}
	return out
}

// memory returns the resident memory of all processes in bytes: RSS counts what
// they share once each, PSS once.
func (r *process) memory() (rss, pss int64) {
	for _, pid := range r.pids() {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		var text strings.Builder
		bufio.NewReader(f).WriteTo(&text)
		f.Close()
		rss += keyed(text.String(), "Rss:") << 10
		pss += keyed(text.String(), "Pss:") << 10
	}
	return rss, pss
}

// keyed returns the number behind a key at the start of a line, 0 if none.
func keyed(text, key string) int64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}
