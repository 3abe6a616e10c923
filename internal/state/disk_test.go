package state

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// saved makes a state at path with one section, and returns its file and key.
func saved(t *testing.T, path string) (image, key []byte) {
	t.Helper()
	f, _ := open(t, path)
	f.Save("s", []byte(`"kept"`), 1)
	receipts, stop := start(f)
	<-receipts
	stop()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return image, f.Key()
}

// TestTornTemporary starts after a kill between the write and the rename.
func TestTornTemporary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	image, key := saved(t, path)
	for _, torn := range [][]byte{nil, image[:len(image)/2], []byte("junk"), image} {
		if err := os.WriteFile(temporary(path), torn, 0o644); err != nil {
			t.Fatal(err)
		}
		f, logged := open(t, path)
		if string(f.Section("s")) != `"kept"` || !bytes.Equal(f.Key(), key) || logged.Len() > 0 {
			t.Errorf("section %s, logged %s", f.Section("s"), logged)
		}
		f.Save("s", []byte(`"kept"`), 2)
		receipts, stop := start(f)
		<-receipts
		stop()
		if exists(temporary(path)) {
			t.Error("the temporary file is still there")
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("the mode of the temporary file was taken over: %v, %v", info.Mode(), err)
		}
	}
}

func TestDamagedIsSetAside(t *testing.T) {
	image, key := saved(t, filepath.Join(t.TempDir(), "state"))
	flipped := bytes.Clone(image)
	flipped[len(flipped)-4] ^= 1
	for _, c := range []struct {
		name  string
		image []byte
		cause string
	}{
		{"empty", nil, "not a state file of Pinhole"},
		{"foreign", []byte("root:x:0:0:root:/root:/bin/sh\n"), "not a state file of Pinhole"},
		{"header cut", image[:20], "cut short"},
		{"body cut", image[:len(image)-1], "cut short"},
		{"longer", append(bytes.Clone(image), ' '), "cut short or has been edited"},
		{"a bit flipped", flipped, "checksum is wrong"},
		{"newer", bytes.Replace(image, []byte("state 1 "), []byte("state 2 "), 1), "version 2, and this Pinhole knows version 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "state")
			for range 2 { // a second time in the same second
				if err := os.WriteFile(path, c.image, 0o600); err != nil {
					t.Fatal(err)
				}
				f, logged := open(t, path)
				if f.Section("s") != nil || bytes.Equal(f.Key(), key) || len(f.Key()) != 32 {
					t.Errorf("section %s, key %x", f.Section("s"), f.Key())
				}
				if !strings.Contains(logged.String(), "set aside") || !strings.Contains(logged.String(), c.cause) {
					t.Errorf("logged %s", logged)
				}
			}
			aside, err := filepath.Glob(path + ".corrupt-*")
			if err != nil || len(aside) != 2 {
				t.Fatalf("set aside: %v, %v", aside, err)
			}
			for _, path := range aside {
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, c.image) {
					t.Errorf("%s has %q, %v", path, got, err)
				}
			}
		})
	}
}

// TestFolderOfNobody cannot be written to, even by root.
func TestFolderOfNobody(t *testing.T) {
	f, logged := open(t, "/proc/pinhole-state")
	if !strings.Contains(logged.String(), "state cannot be written") || len(f.Key()) != 32 {
		t.Errorf("logged %s", logged)
	}
	receipts, stop := start(f)
	f.Save("s", []byte("1"), 1)
	if n := <-receipts; n != 1 {
		t.Errorf("receipt %d", n)
	}
	stop()
	if n := strings.Count(logged.String(), "\n"); n != 1 {
		t.Errorf("%d lines for one state change: %s", n, logged)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		// Root may write anywhere: let this thread be nobody to the file system.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setfsuid(0)
	}
	_, logged := open(t, filepath.Join(dir, "state"))
	if !strings.Contains(logged.String(), "state cannot be written") {
		t.Errorf("logged %s", logged)
	}
}

// TestDiskComesBack takes the folder away under a running Pinhole.
func TestDiskComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	path := filepath.Join(dir, "state")
	f, logged := open(t, path)
	receipts, stop := start(f)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Rename(dir, dir+".away"))
	must(os.WriteFile(dir, nil, 0o600)) // a file where the folder was
	f.Save("s", []byte("1"), 1)
	<-receipts
	f.Save("s", []byte("2"), 2)
	<-receipts
	must(os.Remove(dir))
	must(os.Rename(dir+".away", dir))
	stop() // the last write tries again
	if n := strings.Count(logged.String(), "\n"); n != 2 || !strings.Contains(logged.String(), "can be written again") {
		t.Errorf("logged %s", logged)
	}
	if again, _ := open(t, path); string(again.Section("s")) != "2" {
		t.Errorf("the section is %s", again.Section("s"))
	}
}

// TestUnreadableIsLeftAlone: what we cannot read we must not replace.
func TestUnreadableIsLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, logged := open(t, filepath.Join(file, "state"))
	if !strings.Contains(logged.String(), "state cannot be read") || len(f.Key()) != 32 {
		t.Errorf("logged %s", logged)
	}
}

func TestFolderIsNoState(t *testing.T) {
	if f, err := Open(t.TempDir(), slog.New(slog.DiscardHandler)); err == nil {
		t.Errorf("opened %+v", f)
	}
}

// FuzzDecode looks for a panic, and for a file that changes when it is written
// again.
func FuzzDecode(f *testing.F) {
	f.Add(encode(nil, nil))
	sample := encode(nil, map[string][]byte{"a": []byte("1"), "b\"\n": []byte(`{"c":[null]}`), "": nil})
	f.Add(sample)
	f.Add(sample[headerLen:])
	f.Fuzz(func(t *testing.T, image []byte) {
		sections, err := decode(image)
		if err != nil {
			// As the body of a file whose checksum is right.
			image = append(make([]byte, headerLen), image...)
			seal(image)
			sections, err = decode(image)
		}
		if err != nil {
			return
		}
		again, err := decode(encode(nil, sections))
		if err != nil || len(again) != len(sections) {
			t.Fatalf("%q became %q: %v", sections, again, err)
		}
		for name, data := range sections {
			if !bytes.Equal(again[name], data) {
				t.Errorf("%q: %q became %q", name, data, again[name])
			}
		}
	})
}
