//go:build docker

package docker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// outDir is where each world leaves its logs, captures and certificates.
var outDir string

// TestMain takes away what a killed run left behind.
func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	var err error
	if outDir, err = filepath.Abs("../out"); err != nil {
		return 0, err
	}
	if exec.Command("docker", "info").Run() != nil {
		return m.Run(), nil // the tests say what is missing
	}
	if err := compose(context.Background(), nil, "down", "-t", "1", "-v", "--remove-orphans"); err != nil {
		return 0, fmt.Errorf("taking away what an earlier testbed left: %w", err)
	}
	if err := os.RemoveAll(outDir); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(outDir, 0o777); err != nil {
		return 0, err
	}
	began := time.Now()
	if code := m.Run(); code != 0 {
		return code, nil
	}
	return 0, writeReport(time.Since(began))
}
