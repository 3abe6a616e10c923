//go:build docker

package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Provider is one of the two Kamailios.
type Provider struct {
	w    *World
	name string
}

// A Contact is one row of the provider's location table.
type Contact struct {
	URI      string
	Received string // "" unless the provider mended the contact, which it must not
	CallID   string
}

// host is the address in the contact.
func (c Contact) host() string {
	_, rest, _ := strings.Cut(c.URI, "@")
	host, _, _ := strings.Cut(rest, ":")
	host, _, _ = strings.Cut(host, ";")
	return host
}

// Contacts returns the rows of one user.
func (p *Provider) Contacts(user string) ([]Contact, error) {
	dump, err := p.w.in(p.name, "kamcmd", "-s", "unix:/run/"+p.name+"/ctl", "ul.dump")
	if err != nil {
		return nil, err
	}
	var out []Contact
	aor := ""
	for line := range strings.Lines(dump) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if key == "AoR" {
			aor = value
		}
		if aor != user {
			continue
		}
		switch key {
		case "Address":
			out = append(out, Contact{URI: value})
		case "Received":
			if value != "[not set]" {
				out[len(out)-1].Received = value
			}
		case "Call-ID":
			out[len(out)-1].CallID = value
		}
	}
	return out, nil
}

// Contact returns the only row of a user.
func (p *Provider) Contact(user string) (Contact, error) {
	all, err := p.Contacts(user)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%s has %d contacts, want one: %+v", user, len(all), all)
	}
	if err != nil {
		return Contact{}, err
	}
	return all[0], nil
}

// registered waits until each user has one row, and returns them.
func (p *Provider) registered(users ...string) map[string]Contact {
	p.w.t.Helper()
	out := map[string]Contact{}
	p.w.eventually(fmt.Sprintf("%v are registered", users), patience, func() error {
		for _, user := range users {
			row, err := p.Contact(user)
			if err != nil {
				return err
			}
			out[user] = row
		}
		return nil
	})
	return out
}

// A Traced message is one that the provider received, decrypted.
type Traced struct {
	Src string // address
	Raw string
}

// Method is a request's; "" for a response.
func (m Traced) Method() string {
	method, rest, _ := strings.Cut(m.Raw, " ")
	if method == "SIP/2.0" || rest == "" {
		return ""
	}
	return method
}

// Received returns every message that came to the provider so far.
func (p *Provider) Received() ([]Traced, error) {
	files, err := filepath.Glob(filepath.Join(p.w.out, p.name, "sip", "*"))
	var out []Traced
	for _, path := range files {
		text, bad := os.ReadFile(path)
		err = errors.Join(err, bad)
		for record := range strings.SplitSeq(string(text), "||||||||||||||||||||\n") {
			head, raw, ok := strings.Cut(record, "~~~~~~~~~~~~~~~~~~~~\n")
			if !ok || !strings.Contains(head, "tag: rcv\n") {
				continue
			}
			_, rest, _ := strings.Cut(head, "srcip: ")
			src, _, _ := strings.Cut(rest, "\n")
			out = append(out, Traced{Src: src, Raw: raw})
		}
	}
	return out, err
}
