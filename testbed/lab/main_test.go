//go:build lab

package lab

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain takes away what a killed run left behind. The cells run side by side
// whatever the number of cores: most of their time they wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() == 0 {
		if err := sweep(); err != nil {
			fmt.Fprintln(os.Stderr, "taking away what an earlier lab left:", err)
			os.Exit(1)
		}
	}
	if err := flag.Set("test.parallel", "32"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
