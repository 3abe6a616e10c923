package trace

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// clock is how wide the time is, with the blanks after it.
const clock = 11

// The colours of a terminal (ECMA-48 SGR).
const (
	plain  = "\x1b[0m"
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
)

// A canvas draws lines of one width with the participants' lines in them.
type canvas struct {
	columns []string
	at      []int // where each column's line stands
	width   int
	colour  bool
}

func newCanvas(columns []string, s Style) *canvas {
	width := s.Width
	if width == 0 {
		width = 100
	}
	width = max(width, 60)
	c := &canvas{columns: columns, width: width, colour: s.Colour}
	first := clock + 4
	last := width - 5
	for i := range columns {
		x := first
		if len(columns) > 1 {
			x += (last - first) * i / (len(columns) - 1)
		}
		c.at = append(c.at, x)
	}
	return c
}

// line is an empty line: blanks and the participants' lines.
func (c *canvas) line(at string) []rune {
	l := slices.Repeat([]rune{' '}, c.width)
	copy(l, []rune(at))
	for _, x := range c.at {
		l[x] = '│'
	}
	return l
}

// write ends a line; from to to is in the colour given.
func (c *canvas) write(b *strings.Builder, l []rune, colour string, from, to int) {
	if !c.colour || colour == "" {
		b.WriteString(strings.TrimRight(string(l), " ") + "\n")
		return
	}
	b.WriteString(dim + string(l[:from]) + plain + colour + string(l[from:to]) + plain +
		dim + strings.TrimRight(string(l[to:]), " ") + plain + "\n")
}

// heading writes the participants' names over their lines.
func (c *canvas) heading(b *strings.Builder) {
	l := slices.Repeat([]rune{' '}, c.width)
	end := 0
	for i, name := range c.columns {
		room := c.width
		if len(c.at) > 1 {
			room = c.at[1] - c.at[0] - 1
		}
		text := []rune(cut(name, room))
		x := min(c.at[i]-len(text)/2, c.width-len(text))
		x = max(x, end)
		copy(l[x:], text)
		end = x + len(text) + 1
	}
	c.write(b, l, bold, 0, c.width)
}

// gap writes a silence.
func (c *canvas) gap(b *strings.Builder, d time.Duration) {
	l := c.line("")
	for _, x := range c.at {
		l[x] = '┊'
	}
	text := []rune(fmt.Sprintf("%v later", d.Round(time.Second)))
	copy(l[clock-runes(string(text))-1+2:], text)
	c.write(b, l, dim, 0, c.width)
}

// row writes a message or a note.
func (c *canvas) row(b *strings.Builder, r row, since time.Duration) {
	l := c.line(fmt.Sprintf("%9.3f", since.Seconds()))
	if r.note != "" {
		c.note(b, l, r)
		return
	}
	from, to := c.column(r.from), c.column(r.to)
	if from == to {
		l[from] = '↺'
		text := []rune(" " + r.label.text(c.width-from-3))
		copy(l[from+1:], text)
		c.write(b, l, tint(r.label), from, min(from+1+len(text), c.width))
		return
	}
	left, right := min(from, to), max(from, to)
	for x := left + 1; x < right; x++ {
		if l[x] == '│' {
			l[x] = '┼'
		} else {
			l[x] = '─'
		}
	}
	if to > from {
		l[from], l[to-1] = '├', '▶'
	} else {
		l[from], l[to+1] = '┤', '◀'
	}
	text := []rune(" " + r.label.text(right-left-7) + " ")
	copy(l[left+3:], text)
	c.write(b, l, tint(r.label), left, right+1)
}

// note writes a remark, over as many lines as it needs.
func (c *canvas) note(b *strings.Builder, l []rune, r row) {
	x := clock + 2
	if r.from != "" {
		x = c.column(r.from)
	}
	room := c.width - x - 2
	if room < 24 {
		x = c.width - 26
		room = 24
	}
	for i, part := range wrap(printable(r.note), room) {
		if i > 0 {
			l = c.line("")
		}
		mark := '●'
		if i > 0 {
			mark = ' '
		}
		l[x] = mark
		text := []rune(" " + part + " ")
		text = text[:min(len(text), c.width-x-1)]
		copy(l[x+1:], text)
		c.write(b, l, bold, x, x+1+len(text))
	}
}

func (c *canvas) column(who string) int {
	return c.at[max(slices.Index(c.columns, who), 0)]
}

// wrap breaks s at blanks into lines of at most width runes.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case runes(line)+1+runes(word) <= width:
			line += " " + word
		default:
			lines = append(lines, cut(line, width))
			line = word
		}
	}
	return append(lines, cut(line, width))
}

// tint is the colour of a message.
func tint(l label) string {
	switch {
	case !l.isReply:
		return cyan
	case l.status < 300:
		return green
	case l.status == 401 || l.status == 407:
		return yellow
	}
	return red
}
