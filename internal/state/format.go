package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

// version is the schema of the file. A file of another version is set aside,
// so that going back to an older release never reads what it cannot know.
const version = 1

// The file is one line of header and a JSON object of the sections:
//
//	pinhole state 1 crc32c=0a1b2c3d length=123
//	{"key":"…",
//	 "bindings":{…}}
//
// The checksum (CRC-32C) and the length are those of all behind the line.
const header = "pinhole state %d crc32c=%08x length=%d\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes the file; the values of sections are JSON already.
func encode(sections map[string][]byte) []byte {
	size := 128
	for name, data := range sections {
		size += len(name) + len(data) + 8
	}
	body := append(make([]byte, 0, size), '{')
	for i, name := range slices.Sorted(maps.Keys(sections)) {
		if i > 0 {
			body = append(body, ",\n "...)
		}
		quoted, _ := json.Marshal(name) // a string: cannot fail
		body = append(append(body, quoted...), ':')
		body = append(body, sections[name]...)
	}
	return seal(append(body, "}\n"...))
}

// seal writes the header before body.
func seal(body []byte) []byte {
	head := fmt.Appendf(nil, header, version, crc32.Checksum(body, castagnoli), len(body))
	return append(head, body...)
}

// decode reads a file that encode wrote; the error says why it is not one.
func decode(image []byte) (map[string][]byte, error) {
	head, body, _ := bytes.Cut(image, []byte("\n"))
	var schema, length int
	var sum uint32
	n, _ := fmt.Sscanf(string(head)+"\n", header, &schema, &sum, &length)
	switch {
	case n < 1:
		return nil, errors.New("it is not a state file of Pinhole")
	case schema != version:
		return nil, fmt.Errorf("it has version %d, and this Pinhole knows version %d", schema, version)
	case n < 3 || length != len(body):
		return nil, errors.New("it is cut short or has been edited")
	case sum != crc32.Checksum(body, castagnoli):
		return nil, errors.New("its checksum is wrong")
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, err
	}
	sections := make(map[string][]byte, len(raw))
	for name, data := range raw {
		sections[name] = data
	}
	return sections, nil
}
