package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"pinhole/internal/trace"
)

// A screen prints the demo.
type screen struct {
	w     io.Writer
	style trace.Style
	step  int
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		s.style.Width = n
	}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		s.style.Colour = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
	}
	return s
}

func (s *screen) paint(code, text string) string {
	if !s.style.Colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) heading(title string) {
	s.step++
	fmt.Fprintf(s.w, "\n%s\n\n", s.paint("1", fmt.Sprintf("%d. %s", s.step, title)))
}

func (s *screen) ladder(l *trace.Ladder) { _ = l.Print(s.w, s.style) }

func (s *screen) fact(text string) { fmt.Fprintf(s.w, "  %s %s\n", s.paint("32", "✓"), text) }

func (s *screen) failed(err error) { fmt.Fprintf(s.w, "  %s %v\n", s.paint("31", "✗"), err) }

func (s *screen) log(text string) {
	fmt.Fprintf(s.w, "\nPinhole's log:\n%s\n", text)
}

func (s *screen) intro(config string) {
	fmt.Fprintln(s.w, "A provider, a STUN server and two phones on loopback; between them the real Pinhole, with this file:")
	fmt.Fprintln(s.w)
	for line := range strings.Lines(strings.TrimSpace(config)) {
		fmt.Fprint(s.w, "    ", line)
	}
	fmt.Fprintln(s.w)
}

func (s *screen) end(d time.Duration) {
	fmt.Fprintf(s.w, "\n%s in %.1f s.\n", s.paint("1;32", "The whole day went well"), d.Seconds())
}

// invite says how to point a softphone at the demo.
func (s *screen) invite(st *stage) {
	fmt.Fprintf(s.w, `
It stays up. Point a softphone on this machine at it:

    domain (registrar)   %s
    outbound proxy       %s   (UDP or TCP)
    user / password      guest / guest

Call "echo" to hear yourself, "busy" to be refused. Ctrl-C ends it.
`, demoDomain, st.proxy)
}
