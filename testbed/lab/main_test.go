//go:build lab

package lab

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain builds the binary and takes away what a killed run left behind. The
// cells run side by side whatever the number of cores: most of their time they
// wait.
func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	if os.Geteuid() == 0 {
		if err := sweep(); err != nil {
			return 0, fmt.Errorf("taking away what an earlier lab left: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "pinhole-lab")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := buildPinhole(dir); err != nil {
		return 0, err
	}
	if err := flag.Set("test.parallel", "64"); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
