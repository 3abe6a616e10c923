//go:build docker

package docker

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A section is one table of the report.
type section struct {
	title, columns string // columns are separated by |
	mu             sync.Mutex
	rows           []string
}

// report is what the tests measured, in the order of its tables.
var report = []*section{mainJobs, recoveries, failovers}

var (
	mainJobs = &section{
		title:   "The main job, and without Pinhole (RTP packets heard/sent after the first 500 ms)",
		columns: "upstream/NAT/ALG | called | calls out | desk phone called | phone to phone | control: the same phones alone",
	}
	recoveries = &section{
		title:   "Faults (seconds)",
		columns: "upstream | fault | noticed after | amy (TCP) called again | alice (UDP) called again",
	}
	failovers = &section{
		title:   "Fail-over to the second server of the SRV records (seconds)",
		columns: "upstream | all phones registered there after",
	}
)

func (s *section) add(cells ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var row []string
	for _, c := range cells {
		row = append(row, fmt.Sprint(c))
	}
	s.rows = append(s.rows, strings.Join(row, " | "))
}

func (s *section) String() string {
	var b strings.Builder
	rule := strings.Repeat("---|", strings.Count(s.columns, "|")+1)
	fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|%s\n", s.title, s.columns, rule)
	for _, row := range s.rows {
		fmt.Fprintf(&b, "| %s |\n", row)
	}
	return b.String()
}

// writeReport writes all tables that have rows to the file that REPORT names.
func writeReport(took time.Duration) error {
	path := os.Getenv("REPORT")
	if path == "" {
		return nil
	}
	version, err := exec.Command("docker", "run", "--rm", "--network", "none", "pinhole", "version").Output()
	if err != nil {
		return fmt.Errorf("asking the image for its version: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# What the Docker testbed measured\n\nMade by `make docker-testbed REPORT=docs/docker-report.md` with %s, in %v. ",
		strings.TrimSpace(string(version)), took.Round(time.Second))
	b.WriteString("The world is that of [testbed.md](testbed.md); the lease of the phones is 20 s.\n")
	for _, s := range report {
		if len(s.rows) > 0 {
			b.WriteString(s.String())
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
