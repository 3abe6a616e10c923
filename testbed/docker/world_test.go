//go:build docker

package docker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/need"
)

// The fixed addresses of compose.yaml.
const (
	lanNet      = "192.168.77."
	carrierNet  = "100.64.77."
	routerWAN   = "203.0.113.2"
	carrierWAN  = "203.0.113.4"
	providerWAN = "203.0.113.10"
	spareWAN    = "203.0.113.11"
	pinholeLAN  = "192.168.77.2"
	hostLAN     = "192.168.77.254"
)

// patience is ten times what a step takes on a loaded machine.
const patience = 30 * time.Second

// Settings choose a world: see the head of compose.yaml. The zero value of a
// field is the file's default.
type Settings struct {
	Upstream string // tls tcp udp
	NAT      string // independent symmetric double
	ALG      bool
	Spare    bool // DNS knows a second provider
}

func (s Settings) String() string {
	on := map[bool]string{false: "off", true: "on"}
	return fmt.Sprintf("%s/%s/alg-%s", s.Upstream, s.NAT, on[s.ALG])
}

func (s Settings) environment() []string {
	on := map[bool]string{false: "off", true: "on"}
	return []string{"UPSTREAM=" + s.Upstream, "NAT=" + s.NAT, "ALG=" + on[s.ALG], "SPARES=" + on[s.Spare]}
}

// A World is all containers, up.
type World struct {
	Settings
	t                          testing.TB
	wan                        string // the router's address on the internet, or the carrier's
	out                        string
	LAN, Carrier, WAN          *Capture
	Alice, Amy, Carol, Outside *Phone // Carol is sipp, which only answers
	Provider, Spare            *Provider
}

// start brings a world up, with captures from the first packet on, and takes it
// down when t ends.
func start(t testing.TB, s Settings) *World {
	t.Helper()
	need.Docker(t)
	w := &World{Settings: s, t: t, out: filepath.Join(outDir, strings.ReplaceAll(t.Name(), "/", "_"))}
	if w.wan = routerWAN; s.NAT == "double" {
		w.wan = carrierWAN
	}
	w.must(os.MkdirAll(w.out, 0o777))
	w.must(os.Chmod(w.out, 0o777)) // also for containers without root
	w.LAN, w.Carrier, w.WAN = w.capture("lan"), w.capture("carrier"), w.capture("wan")
	w.Provider = &Provider{w: w, name: "provider"}
	w.Spare = &Provider{w: w, name: "spare"}
	t.Cleanup(w.close)
	w.up()
	w.Alice, w.Amy, w.Outside = w.phone("phone-a", "alice", lanNet+"10"), w.phone("phone-b", "amy", lanNet+"11"), w.phone("outside", "bob", "203.0.113.30")
	if s.ALG {
		w.preflight()
	}
	w.Carol = &Phone{w: w, Name: "desk", User: "carol", IP: lanNet + "12"}
	return w
}

// up starts what does not run yet, and starts anew what differs; services ""
// are all.
func (w *World) up(services ...string) {
	w.t.Helper()
	w.must(compose(w.t.Context(), w.compose(), append([]string{"up", "-d"}, services...)...))
}

func (w *World) compose() []string {
	return append(w.environment(), "OUT="+w.out)
}

func (w *World) close() {
	logs, err := w.pinholeLog()
	if err != nil {
		w.t.Errorf("reading pinhole's log: %v", err)
	}
	if err := os.WriteFile(filepath.Join(w.out, "pinhole.log"), []byte(logs), 0o666); err != nil {
		w.t.Error(err)
	}
	if w.t.Failed() {
		w.t.Logf("logs and captures: %s\nthe end of pinhole's log:\n%s", w.out, tail(logs, 40))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 5*time.Minute)
	defer cancel()
	if err := compose(ctx, w.compose(), "down", "-t", "1", "-v", "--remove-orphans"); err != nil {
		w.t.Errorf("taking the world down: %v", err)
	}
	w.assertCaptured()
}

// assertCaptured demands that tcpdump lost no frame, in all three captures.
func (w *World) assertCaptured() {
	w.t.Helper()
	said, err := os.ReadFile(filepath.Join(w.out, "capture.log"))
	if n := strings.Count(string(said), "\n0 packets dropped by kernel"); err != nil || n != 3 {
		w.t.Errorf("%d of three captures are whole: %v\n%s", n, err, said)
	}
}

// pinholeLog returns all that Pinhole has said so far.
func (w *World) pinholeLog() (string, error) {
	said, err := exec.Command("docker", "logs", container("pinhole")).CombinedOutput()
	return string(said), err
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// compose runs ./compose with more environment and returns when it has ended.
func compose(ctx context.Context, environment []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "./compose", args...)
	cmd.Env = append(os.Environ(), environment...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running compose %s: %w\n%s", strings.Join(args, " "), err, said)
	}
	return nil
}

// docker runs a docker command and returns what it printed.
func docker(ctx context.Context, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("running docker %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), nil
}

// container is the name that a service's container has.
func container(service string) string { return "pinhole-testbed-" + service }

// in runs a command in a service's container.
func (w *World) in(service string, argv ...string) (string, error) {
	return docker(w.t.Context(), append([]string{"exec", container(service)}, argv...)...)
}

// must fails the test if the testbed itself cannot work.
func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("the testbed: %v", err)
	}
}

// eventually waits until check returns nil; within is long enough that only a
// fault makes it pass.
func (w *World) eventually(what string, within time.Duration, check func() error) {
	w.t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-late.C:
			w.t.Fatalf("%s: not within %v: %v", what, within, err)
		case <-again.C:
		}
	}
}
