// Package state keeps named sections, JSON by custom, in one file, which it replaces as
// a whole: whoever reads it sees an old state or a new one, never half of one.
// It says when a save is on disk. It owns the file, its temporary twin
// (FILE.tmp), and no goroutine but the caller's in Run.
package state

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
)

// keySection holds what Key returns; it is not the callers' to write.
const keySection = "key"

// File is the state of one Pinhole, in memory and, where that is possible, on
// disk. It is safe for concurrent use.
type File struct {
	path string // empty: in memory only
	log  *slog.Logger
	wake chan struct{} // holds one token while something is to be written

	image []byte // the file as write last made it; its memory is used again

	mu       sync.Mutex // guards the following
	sections map[string][]byte
	want     uint64 // the highest n of Save
	dirty    bool
	failing  bool // the last write failed, and was logged
}

// Open reads the state at path; an empty path is a state in memory only. A
// missing file is an empty state. A file that is damaged or not ours is renamed
// to path.corrupt-TIMESTAMP, one that cannot be read or written is left alone,
// and both are logged with the consequence: the service runs all the same. The
// only error is a path that can never be a file of ours, such as a folder.
func Open(path string, log *slog.Logger) (*File, error) {
	f := &File{path: path, log: log, wake: make(chan struct{}, 1), sections: map[string][]byte{}}
	if path != "" {
		if err := f.load(); err != nil {
			return nil, err
		}
	}
	if f.key() == nil {
		f.Put(keySection, newKey())
		f.write()
	}
	return f, nil
}

// Section returns what was last put or saved under name, nil if there is none.
// The caller must not change it.
func (f *File) Section(name string) json.RawMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sections[name]
}

// Sections returns the names of all sections but the key's, sorted.
func (f *File) Sections() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name := range f.sections {
		if name != keySection {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Put replaces the section name, or removes it where data is nil; Run writes it
// soon. The file keeps data: nobody may change it any more.
func (f *File) Put(name string, data json.RawMessage) { f.Save(name, data, 0) }

// Save is Put with a receipt: once this save and all before it are on disk, the
// function given to Run is called with n or a higher number. n grows from call
// to call; 0 asks for no receipt. Save never waits for the disk.
func (f *File) Save(name string, data []byte, n uint64) {
	f.SaveAll(map[string][]byte{name: data}, n)
}

// SaveAll saves several sections in one step: the file holds all of them or
// none, and the receipt n is for all of them.
func (f *File) SaveAll(sections map[string][]byte, n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, data := range sections {
		if data == nil {
			delete(f.sections, name)
		} else {
			f.sections[name] = data
		}
	}
	f.want = max(f.want, n)
	f.dirty = true
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run writes what is saved until ctx ends, then once more what is left, and
// returns nil. Saves that come while it writes share the next write. It calls
// saved, which may be nil, after each write that has a new receipt; where the
// disk refuses, that is logged once, the state lives on in memory, each later
// save tries again, and saved is called all the same: the service goes on.
// Call Run once.
func (f *File) Run(ctx context.Context, saved func(n uint64)) error {
	var told uint64
	for {
		n := f.write()
		if n > told && saved != nil {
			told = n
			saved(n)
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			if n = f.write(); n > told && saved != nil {
				saved(n)
			}
			return nil
		}
	}
}

// write puts the sections on disk if any has changed, and returns the highest
// receipt that they cover.
func (f *File) write() uint64 {
	f.mu.Lock()
	n, dirty := f.want, f.dirty && f.path != ""
	f.dirty = false
	if dirty {
		f.image = encode(f.image, f.sections)
	}
	f.mu.Unlock()
	if !dirty {
		return n
	}
	err := replace(f.path, f.image)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = f.dirty || err != nil
	if failing := err != nil; failing != f.failing {
		f.failing = failing
		if failing {
			f.log.Warn("state cannot be written: a restart loses registrations and calls until this is mended", "file", f.path, "err", err)
		} else {
			f.log.Info("state can be written again", "file", f.path)
		}
	}
	return n
}

// Key returns 32 random bytes, made at the first start with this file and the
// same ever since.
func (f *File) Key() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key()
}

// key returns nil if the section has none.
func (f *File) key() []byte {
	var key []byte
	if json.Unmarshal(f.sections[keySection], &key) != nil || len(key) != 32 {
		return nil
	}
	return key
}

func newKey() json.RawMessage {
	key := make([]byte, 32)
	rand.Read(key)
	quoted, _ := json.Marshal(key) // base64: cannot fail
	return quoted
}
