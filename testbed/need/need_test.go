package need

import (
	"strings"
	"testing"
)

// recorder is a test that notes how it ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()          {}
func (r *recorder) Skip(args ...any) { r.skipped = args[0].(string) }
func (r *recorder) Fatal(args ...any) {
	r.failed = args[0].(string)
}

func TestSkipsElsewhere(t *testing.T) {
	t.Setenv("CI", "")
	r := &recorder{TB: t}
	Tool(r, "no-such-program")
	if !strings.Contains(r.skipped, "no-such-program") || r.failed != "" {
		t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
	}
}

func TestFailsOnCI(t *testing.T) {
	t.Setenv("CI", "true")
	r := &recorder{TB: t}
	Tool(r, "no-such-program")
	if !strings.Contains(r.failed, "no-such-program") || r.skipped != "" {
		t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
	}
}

func TestFindsWhatIsThere(t *testing.T) {
	t.Setenv("CI", "true")
	if path := Tool(t, "go"); path == "" {
		t.Error("go is in PATH, but was not found")
	}
}
