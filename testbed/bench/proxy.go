//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A proxy is one of those compared.
type proxy struct {
	name  string
	only  string // the one upstream transport it has, "" for all
	wan   string // as generator.wan
	hides string // as generator.hides
	argv  func(w *world, dir, up string) ([]string, error)
}

// proxies returns all, the reference first.
func proxies(pinhole string) ([]proxy, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if pinhole, err = filepath.Abs(pinhole); err != nil {
		return nil, err
	}
	return []proxy{
		{name: "Kamailio", wan: proxyWAN, argv: kamailioArgs},
		{name: "Pinhole", wan: proxyWAN, hides: "10.1.", argv: func(w *world, dir, up string) ([]string, error) {
			config := filepath.Join(dir, "pinhole.toml")
			return []string{pinhole, "run", "-c", config}, os.WriteFile(config, []byte(pinholeConfig(w, dir, up)), 0o644)
		}},
		{name: "floor", only: "udp", argv: func(*world, string, string) ([]string, error) {
			return []string{self, "-floor"}, nil
		}},
	}, nil
}

func pinholeConfig(w *world, dir, up string) string {
	return fmt.Sprintf(`[listen.lan]
address = "%s:5060"
transports = ["udp"]
allow = [%q]
[upstream.main]
domain = %q
server = "%s:%d"
transport = %q
ca = "%s/cert.pem"
[state]
file = "%s/state"
`, proxyLAN, lanPrefix, domain, providerIP, port(up), up, w.dir, dir)
}

func port(up string) int {
	if up == "tls" {
		return 5061
	}
	return 5060
}

// kamailioConfig is where the peer's configuration is, as seen from the top of
// the repository.
const kamailioConfig = "testbed/peers/kamailio-relay.cfg"

func kamailioArgs(w *world, dir, up string) ([]string, error) {
	text, err := os.ReadFile(kamailioConfig)
	if err != nil {
		return nil, fmt.Errorf("reading Kamailio's configuration (bench runs at the top of the repository): %w", err)
	}
	wanSocket := fmt.Sprintf(":%d", port(up))
	wanPort := wanSocket
	if up != "udp" {
		wanPort += ";transport=" + up
	}
	filled := strings.NewReplacer("@LAN_IP@", proxyLAN, "@WAN_IP@", proxyWAN, "@SIP_PORT@", "5060", "@PROVIDER_IP@", providerIP,
		"@PROVIDER_PORT@", fmt.Sprint(port(up)), "@UPSTREAM@", up, "@CHILDREN@", "2", "@RUN@", w.dir,
		"@WAN_PORT@", wanPort, "@WAN_SOCK@", wanSocket).Replace(string(text))
	config := filepath.Join(dir, "kamailio.cfg")
	return []string{"kamailio", "-DD", "-E", "-m", "64", "-M", "8", "-A", "UP_" + strings.ToUpper(up), "-Y", dir, "-f", config},
		os.WriteFile(config, []byte(filled), 0o644)
}

// A process is a running proxy with all its children, in a control group of its
// own where the kernel offers one.
type process struct {
	cmd   *exec.Cmd
	group string // "" if there is none
	log   string // file
}

// proxyCPU and peersCPU are who runs where.
const (
	peersCPU = 0
	proxyCPU = 1
)

// start starts a proxy in its namespace, alone on its CPU.
func (p *proxy) start(w *world, up string) (*process, error) {
	dir, err := os.MkdirTemp(w.dir, "run-")
	if err != nil {
		return nil, err
	}
	argv, err := p.argv(w, dir, up)
	if err != nil {
		return nil, err
	}
	run := &process{group: newGroup(), log: filepath.Join(dir, "log")}
	out, err := os.Create(run.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	run.cmd = exec.Command("ip", append([]string{"netns", "exec", w.host.name, "taskset", "-c", fmt.Sprint(proxyCPU)}, argv...)...)
	run.cmd.Stdout, run.cmd.Stderr = out, out
	run.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if run.group != "" {
		group, err := os.Open(run.group)
		if err != nil {
			return nil, err
		}
		defer group.Close()
		run.cmd.SysProcAttr.UseCgroupFD, run.cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	if err := run.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", p.name, err), run.removeGroup())
	}
	return run, nil
}

// stop ends the proxy and waits for it. Its children have gone with it.
func (r *process) stop() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	kill := time.AfterFunc(5*time.Second, func() { r.cmd.Process.Kill() })
	defer kill.Stop()
	var exit *exec.ExitError
	if err := r.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return r.removeGroup()
}

// tail returns the last of what the proxy said.
func (r *process) tail() string {
	text, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}
