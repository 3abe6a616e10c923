//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A row is one line of the table: the median of the runs of one job through one
// proxy that were not void.
type row struct {
	work, up, proxy  string
	cpu, low, high   float64 // µs of a unit
	p50, p99         float64 // µs
	pss, rss         float64 // MiB
	units, failed    int     // of all runs
	resent, repeated int
	void             int     // runs that do not count, for a unit failed
	other, steal     float64 // the most of any run, in % of one CPU
}

// newRow sums up some runs.
func newRow(j job, name string, results []result) row {
	r := row{work: j.work, up: j.up, proxy: name}
	var cpu, p50, p99, pss, rss []float64
	for _, res := range results {
		r.units += res.units
		r.failed += res.failed
		r.resent += res.resent
		r.repeated += res.repeated
		r.other, r.steal = max(r.other, 100*res.other), max(r.steal, 100*res.steal)
		if res.failed > 0 {
			r.void++
			continue
		}
		cpu, p50, p99 = append(cpu, micro(res.cpu)), append(p50, micro(res.p50)), append(p99, micro(res.p99))
		pss, rss = append(pss, mebi(res.pss)), append(rss, mebi(res.rss))
	}
	if len(cpu) > 0 {
		r.cpu, r.low, r.high = median(cpu), slices.Min(cpu), slices.Max(cpu)
		r.p50, r.p99, r.pss, r.rss = median(p50), median(p99), median(pss), median(rss)
	}
	return r
}

const (
	header = "| work | upstream | proxy | CPU µs | min–max | p50 µs | p99 µs | PSS MiB | RSS MiB | units | failed | void runs | resent | repeated | other % | steal % |\n" +
		"|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
	columns = 16
)

func (r row) String() string {
	return fmt.Sprintf("| %s | %s | %s | %.0f | %.0f–%.0f | %.0f | %.0f | %.1f | %.1f | %d | %d | %d | %d | %d | %.0f | %.0f |\n",
		r.work, r.up, r.proxy, r.cpu, r.low, r.high, r.p50, r.p99, r.pss, r.rss,
		r.units, r.failed, r.void, r.resent, r.repeated, r.other, r.steal)
}

// parseRows reads the rows of a table back, as far as the verdict needs them.
func parseRows(text string) ([]row, error) {
	_, body, ok := strings.Cut(text, header)
	if !ok {
		return nil, fmt.Errorf("reading the table: no line %q", strings.SplitN(header, "\n", 2)[0])
	}
	var rows []row
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != columns {
			return nil, fmt.Errorf("reading the table: %d cells in %q", len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		r := row{work: cells[0], up: cells[1], proxy: cells[2]}
		var err error
		if r.cpu, err = strconv.ParseFloat(cells[3], 64); err != nil {
			return nil, fmt.Errorf("reading the table: CPU in %q", line)
		}
		if r.void, err = strconv.Atoi(cells[11]); err != nil {
			return nil, fmt.Errorf("reading the table: void runs in %q", line)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// target is the most that Pinhole may cost, as a share of Kamailio's CPU time.
const target = 0.5

// judge compares the rows of Pinhole with those of Kamailio: one line each.
func judge(rows []row) (lines []string, met bool) {
	met = true
	find := func(work, up, proxy string) *row {
		for i := range rows {
			if r := &rows[i]; r.work == work && r.up == up && r.proxy == proxy {
				return r
			}
		}
		return nil
	}
	for _, ours := range rows {
		if ours.proxy != "Pinhole" {
			continue
		}
		what := ours.work + " " + ours.up
		peer := find(ours.work, ours.up, "Kamailio")
		switch {
		case ours.void > 0:
			lines, met = append(lines, what+": void, units failed: not met"), false
		case peer == nil || peer.cpu == 0:
			lines, met = append(lines, what+": nothing to compare with: not met"), false
		default:
			verdict := "met"
			if ours.cpu > target*peer.cpu {
				verdict, met = "not met", false
			}
			lines = append(lines, fmt.Sprintf("%s: %.0f of %.0f µs, %.2f: %s", what, ours.cpu, peer.cpu, ours.cpu/peer.cpu, verdict))
		}
	}
	return lines, met && len(lines) > 0
}

// The markers that the table stands between.
const (
	tableBegin = "<!-- make bench: begin -->\n"
	tableEnd   = "<!-- make bench: end -->\n"
)

// replaceTable puts text between the markers of a file.
func replaceTable(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(old), tableBegin)
	_, tail, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("writing %s: it has no lines %q and %q", file, tableBegin, tableEnd)
	}
	return os.WriteFile(file, []byte(head+tableBegin+text+tableEnd+tail), 0o644)
}

// checkFile reads the table of a file back and says whether the target is met.
func checkFile(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	rows, err := parseRows(string(text))
	if err != nil {
		return err
	}
	lines, met := judge(rows)
	fmt.Println(strings.Join(lines, "\n"))
	if !met {
		return fmt.Errorf("%s: Pinhole costs more than %.2f of Kamailio somewhere", file, target)
	}
	return nil
}
