package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// temporary is the new file before it takes the old one's place. A kill may
// leave it behind: it is never read, and the next write removes it.
func temporary(path string) string { return path + ".tmp" }

// load fills the sections from the file.
func (f *File) load() error {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("state.file: is %s, which is no file", f.path)
	}
	image, err := os.ReadFile(f.path)
	if err != nil {
		// What cannot be read must not be overwritten either.
		f.log.Warn("state cannot be read, and is kept in memory only: a restart loses registrations and calls", "file", f.path, "err", err)
		f.path = ""
		return nil
	}
	sections, err := decode(image)
	if err == nil {
		f.sections = sections
		return nil
	}
	f.setAside(err)
	return nil
}

// setAside renames a file that is not a good state, so that an admin can look
// at it.
func (f *File) setAside(why error) {
	aside := f.path + ".corrupt-" + time.Now().UTC().Format("20060102T150405Z")
	for i := 2; exists(aside); i++ {
		aside = f.path + ".corrupt-" + time.Now().UTC().Format("20060102T150405Z") + "-" + strconv.Itoa(i)
	}
	if err := os.Rename(f.path, aside); err != nil {
		f.log.Warn("state is damaged and cannot be set aside; it is kept in memory only, a restart loses registrations and calls",
			"file", f.path, "cause", why, "err", err)
		f.path = ""
		return
	}
	f.log.Warn("state is damaged and was set aside: phones are unreachable until they register again", "file", f.path, "aside", aside, "cause", why)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// replace makes image the contents of path in one step: whatever happens, path
// is the old file or the new one, and after a nil error it is the new one even
// if the power fails.
func replace(path string, image []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp := temporary(path)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(tmp, image); err != nil {
		// Best effort: the next write removes it as well.
		_ = os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeSynced makes a new file, for our eyes only, and waits for the disk.
func writeSynced(path string, image []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(image)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
