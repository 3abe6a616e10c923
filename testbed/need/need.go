// Package need skips a test whose machine lacks something, and says what. On
// CI, where everything is there, a lack fails the test: nothing is skipped
// unseen. It is the only place that skips, and owns nothing.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Root asks for the rights to make network namespaces.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "needs root")
	}
}

// Tool asks for a program in PATH and returns where it is.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		lacking(t, "needs the program "+name)
	}
	return path
}

// Docker asks for a Docker daemon that answers.
func Docker(t testing.TB) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), Tool(t, "docker"), "info").Run(); err != nil {
		lacking(t, "needs a running Docker daemon")
	}
}

// That asks for something that only trying it out can tell; why names it.
func That(t testing.TB, ok bool, why string) {
	t.Helper()
	if !ok {
		lacking(t, why)
	}
}

// lacking ends the test: as a failure when CI is set, else as a skip.
func lacking(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why + ", and CI is set")
	} else {
		t.Skip(why)
	}
}
