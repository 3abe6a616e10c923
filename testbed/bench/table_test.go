//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func runs(cpu ...int) []result {
	var out []result
	for _, n := range cpu {
		out = append(out, result{units: 100, cpu: time.Duration(n) * time.Microsecond})
	}
	return out
}

func TestMedianOfGoodRuns(t *testing.T) {
	bad := runs(1, 300, 200, 100)
	bad[0].failed = 1
	r := newRow(job{work: "in", up: "tcp"}, "Pinhole", bad)
	if r.cpu != 200 || r.low != 100 || r.high != 300 || r.void != 1 || r.failed != 1 || r.units != 400 {
		t.Errorf("%+v", r)
	}
}

func TestVerdict(t *testing.T) {
	j := job{work: "register", up: "udp"}
	for name, c := range map[string]struct {
		ours, peer []result
		met        bool
		line       string
	}{
		"half":    {runs(150), runs(300), true, "register udp: 150 of 300 µs, 0.50: met"},
		"more":    {runs(151), runs(300), false, "register udp: 151 of 300 µs, 0.50: not met"},
		"void":    {[]result{{failed: 1, cpu: 1}}, runs(300), false, "register udp: void, units failed: not met"},
		"no peer": {runs(150), nil, false, "register udp: nothing to compare with: not met"},
	} {
		rows := []row{newRow(j, "Pinhole", c.ours)}
		if c.peer != nil {
			rows = append(rows, newRow(j, "Kamailio", c.peer))
		}
		lines, met := judge(rows)
		if met != c.met || !slices.Equal(lines, []string{c.line}) {
			t.Errorf("%s: %v %q", name, met, lines)
		}
	}
	if _, met := judge(nil); met {
		t.Error("met by no figures at all")
	}
}

// TestTableReadBack writes a table into a document and reads it back.
func TestTableReadBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(file, []byte("before\n"+tableBegin+"old\n"+tableEnd+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	j := job{work: "register", up: "udp"}
	rows := []row{newRow(j, "Kamailio", runs(400)), newRow(j, "Pinhole", runs(180))}
	if err := replaceTable(file, report(&options{runs: 1, seconds: 10, phones: 400}, rows, "Benchmark\n")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "before\n"+tableBegin) || !strings.HasSuffix(string(text), tableEnd+"after\n") || strings.Contains(string(text), "old") {
		t.Errorf("the document is now\n%s", text)
	}
	got, err := parseRows(string(text))
	if err != nil || len(got) != 2 || got[1].cpu != 180 || got[1].proxy != "Pinhole" {
		t.Errorf("read back %+v, %v", got, err)
	}
	if err := checkFile(file); err != nil {
		t.Error(err)
	}
}

// TestDocument reads the table in docs/performance.md: whatever its figures
// are, it must be complete.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := parseRows(string(text))
	if err != nil {
		t.Fatal(err)
	}
	lines, _ := judge(rows)
	for _, work := range []string{"register", "in", "out"} {
		for _, up := range []string{"udp", "tcp", "tls"} {
			if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, work+" "+up+":") }) {
				t.Errorf("no verdict on %s over %s", work, up)
			}
		}
	}
	t.Log(strings.Join(lines, "\n"))
}

func TestMachineTime(t *testing.T) {
	work, steal, err := machineTime("cpu  100 2 30 4000 50 6 7 8 0 0\ncpu0 1\n")
	if err != nil || work != 145*clockTick || steal != 8*clockTick {
		t.Errorf("%v %v %v", work, steal, err)
	}
	if _, _, err := machineTime("intr 1\n"); err == nil {
		t.Error("no error for another file")
	}
}
