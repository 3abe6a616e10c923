package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	for file, text := range map[string]string{
		good: "[upstream.main]\ndomain = \"sip.example.com\"\n",
		bad:  "[upstream.main]\ndomian = \"sip.example.com\"\ntransport = \"sctp\"\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		args      string
		code      int
		out, errs string // what stands in them
	}{
		{"", exitUsage, "", "pinhole run"},
		{"help", exitOK, "pinhole demo", ""},
		{"--help", exitOK, "pinhole check", ""},
		{"fly", exitUsage, "", `no command "fly"`},
		{"version", exitOK, "pinhole ", ""},
		{"version now", exitUsage, "", `unexpected "now"`},
		{"run", exitUsage, "", "give a configuration (-c FILE) or a provider (--upstream DOMAIN)"},
		{"run -c x --upstream y", exitUsage, "", "exclude each other"},
		{"run -c " + dir + "/none", exitUsage, "", "no such file"},
		{"run -c " + bad, exitUsage, "", "bad.toml:2: upstream.main.domian"},
		{"check", exitUsage, "", "give a configuration"},
		{"check -c " + good, exitOK, "good.toml: ok", ""},
		{"check -c " + bad, exitUsage, "", "bad.toml:3: upstream.main.transport"},
		{"check --wrong", exitUsage, "", "-wrong"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(row.args), &out, &errs)
		if code != row.code || !strings.Contains(out.String(), row.out) || !strings.Contains(errs.String(), row.errs) {
			t.Errorf("pinhole %s: exit %d, want %d\nout: %s\nerr: %s", row.args, code, row.code, &out, &errs)
		}
	}
}
