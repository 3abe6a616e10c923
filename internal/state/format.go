package state

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
)

// version is the schema of the file. A file of another version is set aside,
// so that going back to an older release never reads what it cannot know.
const version = 1

// The file is one line of header and the sections, each behind a line with its
// name and length:
//
//	pinhole state 1 crc32c=0a1b2c3d length=0000000078
//	"bindings" 17
//	{"some":"thing"}
//
// The checksum (CRC-32C) and the length in the header are those of all behind
// its line. The header's own length is constant.
const header = "pinhole state %d crc32c=%08x length=%010d\n"

const headerLen = len("pinhole state 1 crc32c=0a1b2c3d length=0000000078\n")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errForeign = errors.New("it is not a state file of Pinhole")
	errCut     = errors.New("it is cut short or has been edited")
	errSum     = errors.New("its checksum is wrong")
)

// encode writes the file over dst, which it returns, grown if need be.
func encode(dst []byte, sections map[string][]byte) []byte {
	dst = append(dst[:0], make([]byte, headerLen)...)
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		dst = strconv.AppendQuote(dst, name)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(len(sections[name])), 10)
		dst = append(dst, '\n')
		dst = append(dst, sections[name]...)
		dst = append(dst, '\n')
	}
	seal(dst)
	return dst
}

// seal writes the header of the file into its place at the front of image.
func seal(image []byte) {
	body := image[headerLen:]
	copy(image, fmt.Appendf(nil, header, version, crc32.Checksum(body, castagnoli), len(body)))
}

// decode reads a file that encode wrote; the error says why it is not one.
func decode(image []byte) (map[string][]byte, error) {
	head, body, _ := bytes.Cut(image, []byte("\n"))
	var schema, length int
	var sum uint32
	n, _ := fmt.Sscanf(string(head)+"\n", header, &schema, &sum, &length)
	switch {
	case n < 1:
		return nil, errForeign
	case schema != version:
		return nil, fmt.Errorf("it has version %d, and this Pinhole knows version %d", schema, version)
	case n < 3 || length != len(body):
		return nil, errCut
	case sum != crc32.Checksum(body, castagnoli):
		return nil, errSum
	}
	sections := map[string][]byte{}
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		quoted, err := strconv.QuotedPrefix(string(line))
		if err != nil {
			return nil, errForeign
		}
		name, _ := strconv.Unquote(quoted) // a quoted prefix is quoted
		size, err := strconv.ParseUint(string(bytes.TrimPrefix(line[len(quoted):], []byte(" "))), 10, 32)
		if err != nil || size >= uint64(len(rest)) || rest[size] != '\n' {
			return nil, errForeign
		}
		sections[name] = bytes.Clone(rest[:size])
		body = rest[size+1:]
	}
	return sections, nil
}
