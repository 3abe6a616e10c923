package state

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// open opens path and returns what it logs.
func open(t *testing.T, path string) (*File, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	f, err := Open(path, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return f, &logged
}

// start runs f until the returned function is called; receipts has each.
func start(f *File) (receipts chan uint64, stop func()) {
	receipts = make(chan uint64, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx, func(n uint64) { receipts <- n }) }()
	return receipts, func() {
		cancel()
		<-done
	}
}

func TestFirstStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "state")
	f, logged := open(t, path)
	key := f.Key()
	if len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
		t.Errorf("the key is %x", key)
	}
	if f.Section("bindings") != nil || len(f.Sections()) != 0 {
		t.Errorf("a new state has the sections %v", f.Sections())
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
	if logged.Len() != 0 {
		t.Errorf("logged %s", logged)
	}
	// No Run, no shutdown: the key is there after a kill.
	if f, _ = open(t, path); !bytes.Equal(f.Key(), key) {
		t.Errorf("the key was %x, and is %x after a restart", key, f.Key())
	}
}

func TestSaveSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f, _ := open(t, path)
	receipts, stop := start(f)
	f.Put("calls", json.RawMessage(`[]`))
	f.Save("bindings", []byte(`{"a":1}`), 1)
	if n := <-receipts; n != 1 {
		t.Errorf("receipt %d, want 1", n)
	}
	// On disk at the receipt, not at the end.
	again, _ := open(t, path)
	if got := again.Section("bindings"); string(got) != `{"a":1}` {
		t.Errorf("bindings are %s", got)
	}
	f.Save("bindings", []byte("{\n\t\"b\": \"\\u2028\"\n}"), 2)
	f.Put("calls", nil)
	stop()
	again, _ = open(t, path)
	if got := again.Section("bindings"); string(got) != "{\n\t\"b\": \"\\u2028\"\n}" {
		t.Errorf("bindings are %s", got)
	}
	if got := again.Sections(); !slices.Equal(got, []string{"bindings"}) {
		t.Errorf("the sections are %v", got)
	}
}

// TestSavesShareAWrite sends saves before and during a write.
func TestSavesShareAWrite(t *testing.T) {
	f, _ := open(t, filepath.Join(t.TempDir(), "state"))
	for n := range uint64(100) {
		f.Save("s", fmt.Append(nil, n), n+1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var receipts []uint64
	err := f.Run(ctx, func(n uint64) {
		receipts = append(receipts, n)
		switch n {
		case 100:
			for m := range uint64(50) {
				f.Save("s", fmt.Append(nil, m), n+m+1)
			}
		case 150:
			f.Save("s", []byte("1"), 151)
			cancel() // the last save is still written
		}
	})
	if err != nil || !slices.Equal(receipts, []uint64{100, 150, 151}) {
		t.Errorf("receipts %v, error %v", receipts, err)
	}
}

func TestConcurrentSaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f, _ := open(t, path)
	receipts, stop := start(f)
	var all sync.WaitGroup
	var mu sync.Mutex
	n := uint64(0)
	for w := range 8 {
		all.Go(func() {
			for i := range 50 {
				mu.Lock()
				n++
				f.Save("w"+strconv.Itoa(w), fmt.Append(nil, i), n)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	last := uint64(0)
	for last < 400 {
		next := <-receipts
		if next <= last {
			t.Fatalf("receipt %d after %d", next, last)
		}
		last = next
	}
	stop()
	again, _ := open(t, path)
	for w := range 8 {
		if got := again.Section("w" + strconv.Itoa(w)); string(got) != "49" {
			t.Errorf("w%d is %s", w, got)
		}
	}
}

// TestInABubble proves that Run sleeps while nothing is to be written, so that
// fake time can pass.
func TestInABubble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		f, _ := open(t, path)
		receipts, stop := start(f)
		defer stop()
		synctest.Wait()
		f.Save("s", []byte("1"), 7)
		synctest.Wait()
		if len(receipts) != 1 || <-receipts != 7 {
			t.Error("no receipt for the save")
		}
	})
}

func TestInMemory(t *testing.T) {
	f, logged := open(t, "")
	receipts, stop := start(f)
	f.Save("s", []byte("1"), 1)
	if n := <-receipts; n != 1 {
		t.Errorf("receipt %d", n)
	}
	stop()
	if string(f.Section("s")) != "1" || len(f.Key()) != 32 || logged.Len() != 0 {
		t.Errorf("section %s, key %x, logged %s", f.Section("s"), f.Key(), logged)
	}
}

// TestSaveAllIsOneStep: at the receipt both sections are in the file.
func TestSaveAllIsOneStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f, _ := open(t, path)
	both := func(n uint64) map[string][]byte {
		value := fmt.Append(nil, n)
		return map[string][]byte{"a": value, "b": value}
	}
	f.SaveAll(both(1), 1)
	ctx, cancel := context.WithCancel(context.Background())
	err := f.Run(ctx, func(n uint64) {
		again, _ := open(t, path)
		if a, b := again.Section("a"), again.Section("b"); string(a) != strconv.FormatUint(n, 10) || !bytes.Equal(a, b) {
			t.Errorf("at receipt %d the sections are %s and %s", n, a, b)
		}
		if n == 30 {
			cancel()
			return
		}
		f.SaveAll(both(n+1), n+1)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKill ends a process in the midst of its saves, with SIGKILL: all that it
// has a receipt for is there afterwards.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		cmd.Env = append(os.Environ(), "PINHOLE_STATE_CHILD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		receipt := 0
		lines := bufio.NewScanner(out)
		for n := 0; n < 20+7*round && lines.Scan(); n++ {
			fmt.Sscanf(lines.Text(), "receipt %d", &receipt)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			fmt.Sscanf(lines.Text(), "receipt %d", &receipt)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the process ended by itself: %v", err)
		}
		f, logged := open(t, path)
		got, err := strconv.Atoi(strings.Trim(string(f.Section("n")), `" x`))
		if err != nil || got < receipt || receipt == 0 || logged.Len() > 0 {
			t.Errorf("receipt for %d, but the state has %d (%v); logged %s", receipt, got, err, logged)
		}
	}
}

// TestKillChild is the process that TestKill kills.
func TestKillChild(t *testing.T) {
	path := os.Getenv("PINHOLE_STATE_CHILD")
	if path == "" {
		return
	}
	f, _ := open(t, path)
	n, _ := strconv.Atoi(strings.Trim(string(f.Section("n")), `" x`))
	save := func() {
		n++
		// Large enough that a write can be cut in two.
		f.Save("n", fmt.Appendf(nil, `"%d%s"`, n, strings.Repeat("x", 200_000)), uint64(n))
	}
	save()
	err := f.Run(t.Context(), func(n uint64) {
		fmt.Printf("receipt %d\n", n)
		save()
	})
	t.Fatal(err)
}
