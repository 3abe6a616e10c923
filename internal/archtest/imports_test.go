// Package archtest holds the drawing of the house: which package may import
// which. It owns no code, only this test.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "pinhole"

// house lists every package from the roof down, with all that it may import of
// ours and of third parties. Arrows point down: what a row names stands below
// it. The standard library and internal/metrics are free for all, but a pure
// package does no I/O. A package that is not listed here is refused; change
// docs/architecture.md with this table.
var house = []struct {
	pkg   string
	ours  string // packages of this module
	third string // import paths or whole trees of other modules
	pure  bool
}{
	// 5
	{pkg: "cmd/pinhole", ours: "internal/app proxy internal/config internal/trace internal/transport testbed/memnet testbed/peer"},

	// 4
	{
		pkg: "internal/app",
		ours: "proxy nat rewrite auth internal/config internal/status internal/trace internal/flow internal/media internal/state " +
			"internal/transport internal/resolve internal/transaction internal/dialog internal/binding internal/match internal/message",
	},

	// Leaves that app wires.
	{pkg: "internal/config", third: "github.com/BurntSushi/toml"},
	{pkg: "internal/status", third: "github.com/prometheus/client_golang"},
	{pkg: "internal/trace"},

	// 3
	{
		pkg: "proxy",
		ours: "nat rewrite auth internal/flow internal/media internal/state internal/transport internal/resolve " +
			"internal/transaction internal/dialog internal/binding internal/match internal/message",
		third: "github.com/emiago/sipgo/sip",
	},

	// 2
	{pkg: "internal/flow", ours: "nat internal/transport internal/resolve internal/message"},
	{pkg: "internal/media", ours: "internal/transport internal/message", third: "golang.org/x/net golang.org/x/sys"},

	// The testbed's networks and peers: for tests and the demo.
	{
		pkg: "testbed/peer", ours: "testbed/memnet internal/transport",
		third: "github.com/emiago/sipgo github.com/icholy/digest github.com/miekg/dns github.com/pion/stun/v2 github.com/pion/turn/v3",
	},
	{pkg: "testbed/bench", third: "golang.org/x/sys"}, // a program of its own
	{pkg: "testbed/memnet", ours: "internal/transport"},
	{pkg: "testbed/need"},
	{pkg: "internal/archtest"},

	// 1
	{pkg: "nat", ours: "internal/transport internal/message", third: "github.com/pion/stun/v2 github.com/pion/turn/v3"},
	{pkg: "internal/resolve", ours: "internal/transport internal/message", third: "github.com/miekg/dns"},
	{pkg: "internal/transport", ours: "internal/message", third: "golang.org/x/sys github.com/vishvananda/netlink"},
	{pkg: "internal/state", ours: "internal/message"},
	{pkg: "internal/match", ours: "internal/binding rewrite internal/message", pure: true},
	{pkg: "internal/binding", ours: "internal/message", pure: true},
	{pkg: "internal/dialog", ours: "internal/message", pure: true},
	{pkg: "internal/transaction", ours: "internal/message", pure: true},
	{pkg: "rewrite", ours: "internal/message", pure: true},
	{pkg: "auth", ours: "internal/message", third: "github.com/icholy/digest", pure: true},

	// 0
	{pkg: "internal/message", pure: true},
	{pkg: "internal/metrics", pure: true},
}

// Test files may also import these, and any module of go.mod.
var inTests = strings.Fields("testbed/memnet testbed/peer testbed/need")

// The packages under testbed that are tests only: nobody may import them, and
// they may import anything.
var testsOnly = strings.Fields("testbed/lab testbed/docker")

// What a pure package may not import of the standard library.
var impure = strings.Fields("net net/http os os/exec os/signal syscall crypto/tls log/syslog")

// A listing is what go list says of one package.
type listing struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func (l listing) name() string { return strings.TrimPrefix(l.ImportPath, module+"/") }

func TestImports(t *testing.T) {
	for _, l := range list(t) {
		if within(l.name(), testsOnly) {
			continue
		}
		i := row(l.name())
		if i < 0 {
			t.Errorf("%s is not drawn: give it a row in this test and in docs/architecture.md", l.name())
			continue
		}
		ours, third := strings.Fields(house[i].ours+" internal/metrics"), strings.Fields(house[i].third)
		for _, path := range l.Imports {
			if !allowed(path, ours, third, house[i].pure) {
				t.Errorf("%s imports %s, which is not among its arrows", l.name(), path)
			}
		}
		for _, path := range append(l.TestImports, l.XTestImports...) {
			if path != l.ImportPath && !foreign(path) && !allowed(path, append(ours, inTests...), nil, false) {
				t.Errorf("a test of %s imports %s, which is not among its arrows", l.name(), path)
			}
		}
	}
}

// TestArrowsPointDown reads the table alone.
func TestArrowsPointDown(t *testing.T) {
	for i, from := range house {
		if row(from.pkg) != i {
			t.Errorf("%s has two rows", from.pkg)
		}
		for _, to := range strings.Fields(from.ours) {
			if row(to) <= i {
				t.Errorf("%s may import %s, which does not stand below it", from.pkg, to)
			}
		}
	}
}

// TestRefusals proves that the rules can say no.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		path string
		pure bool
		want bool
	}{
		{"pinhole/internal/message", true, true},
		{"pinhole/internal/transport", false, false},
		{"pinhole/internal/messages", false, false},
		{"github.com/miekg/dns", false, true},
		{"github.com/miekg/dns/dnsutil", false, true},
		{"github.com/miekg/dnsx", false, false},
		{"github.com/emiago/sipgo", false, false},
		{"net/netip", true, true},
		{"net", true, false},
		{"net", false, true},
	} {
		if got := allowed(c.path, []string{"internal/message"}, []string{"github.com/miekg/dns"}, c.pure); got != c.want {
			t.Errorf("allowed(%s, pure %t) is %t", c.path, c.pure, got)
		}
	}
}

// allowed tells whether an import path is the standard library's, or one of
// ours or of third's trees.
func allowed(path string, ours, third []string, pure bool) bool {
	switch {
	case within(path, []string{module}):
		return slices.Contains(ours, strings.TrimPrefix(path, module+"/"))
	case foreign(path):
		return within(path, third)
	default:
		return !pure || !slices.Contains(impure, path)
	}
}

// foreign tells whether path belongs to another module: its first element is
// then a host name.
func foreign(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

// within tells whether path is one of trees or lies below one.
func within(path string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool {
		return path == tree || strings.HasPrefix(path, tree+"/")
	})
}

// row returns the index of a package in house, or -1.
func row(pkg string) int {
	for i := range house {
		if house[i].pkg == pkg {
			return i
		}
	}
	return -1
}

// list asks go list for all packages of the module.
func list(t *testing.T) []listing {
	t.Helper()
	touch(t)
	cmd := exec.Command("go", "list", "-e", "-tags", "lab", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages: %v\n%s", err, stderr.String())
	}
	var all []listing
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var l listing
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	if len(all) < 5 {
		t.Fatalf("go list knows only %d packages", len(all))
	}
	return all
}

// touch reads the folders of the module itself: go test caches a result until
// something the test has opened changes, and does not see what go list opens.
func touch(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
