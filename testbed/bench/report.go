//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report is what stands in the document: the conditions, the table, the
// verdict, and what the Go benchmarks printed.
func report(o *options, rows []row, micro string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured: %s, %s. %s.\n%s; Linux %s; %s; %s.\n", said(o.pinhole, "version"),
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), o.conditions(), machine(), said("uname", "-r"), runtime.Version(), kamailioVersion())
	if why := o.preliminary(rows); why != "" {
		b.WriteString("**Preliminary**: " + why + ".\n")
	}
	if len(rows) > 0 {
		b.WriteString("\n" + header)
		for _, r := range rows {
			b.WriteString(r.String())
		}
		lines, _ := judge(rows)
		fmt.Fprintf(&b, "\nPinhole's CPU time against Kamailio's; the target is at most %.2f:\n\n", target)
		for _, line := range lines {
			b.WriteString("- " + line + "\n")
		}
	}
	if micro != "" {
		b.WriteString("\n```\n" + micro + "```\n")
	}
	return b.String()
}

// conditions tells the flags that matter.
func (o *options) conditions() string {
	rate := "400 registrations/s or 50 calls/s"
	if o.rate != 0 {
		rate = fmt.Sprintf("%d units/s", o.rate)
	}
	return fmt.Sprintf("%d phones, %s, median of %d runs of %d s", o.phones, rate, o.runs, o.seconds)
}

// preliminary says why the figures are not to be relied on, "" if they are.
func (o *options) preliminary(rows []row) string {
	const quiet = 10 // % of one CPU
	most := 0.0
	for _, r := range rows {
		most = max(most, r.other, r.steal)
	}
	switch {
	case o.runs < 3 || o.seconds < 10:
		return "fewer or shorter runs than 3 of 10 s"
	case most > quiet:
		return fmt.Sprintf("other work took up to %.0f %% of a CPU meanwhile", most)
	}
	return ""
}

// machine names processor and memory.
func machine() string {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err.Error()
	}
	model := "unknown processor"
	for line := range strings.Lines(string(cpu)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
		}
	}
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d × %s, %d GiB", strings.Count(string(cpu), "processor\t:"), model, keyed(string(memory), "MemTotal:")>>20)
}

func kamailioVersion() string {
	line, _, _ := strings.Cut(said("kamailio", "-v"), "\n")
	name, _, _ := strings.Cut(strings.TrimPrefix(line, "version: "), " (")
	return name
}

// said returns what a command printed, or why it could not.
func said(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return fmt.Sprintf("%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// benchMessage runs the benchmarks of parse, edit and serialise on the proxy's
// CPU.
func benchMessage() (string, error) {
	cmd := exec.Command("taskset", "-c", fmt.Sprint(proxyCPU), "go", "test", "-run", "^$", "-bench", "Floor|Index|Relay|Sipgo", "-benchmem", "./internal/message")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running the benchmarks of internal/message: %w\n%s", err, out)
	}
	return string(out), nil
}
