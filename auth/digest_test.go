package auth

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/icholy/digest"
)

// vectors returns the rows of testdata/vectors.tsv by column name.
func vectors(t *testing.T) []map[string]string {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(raw))
	r.Comma, r.LazyQuotes = '\t', true
	lines, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			if line[i] != "-" {
				row[name] = line[i]
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// TestVectors writes each digest vector as a challenge and its answer, reads
// both, and computes the response from what was read: nothing that digest
// covers is changed by our reading.
func TestVectors(t *testing.T) {
	rows := vectors(t)
	for _, row := range rows {
		t.Run(row["id"], func(t *testing.T) {
			chal, cred := wire(row)
			all, err := ParseChallenges(nil, chal)
			if err != nil || len(all) != 1 {
				t.Fatalf("%s: %+v, %v", chal, all, err)
			}
			got, err := ParseCredentials(cred)
			if err != nil {
				t.Fatalf("%s: %v", cred, err)
			}
			want := Credentials{
				Scheme: "Digest", Username: row["username"], Realm: row["realm"], Nonce: row["nonce"], URI: row["digest-uri"],
				Response: row["response"], CNonce: row["cnonce"], Algorithm: row["algorithm"], QOP: row["qop"], NC: got.NC,
			}
			if got != want || all[0].Realm != row["realm"] || all[0].Nonce != row["nonce"] {
				t.Fatalf("read %#v from %s and %+v from %s", got, cred, all[0], chal)
			}
			if r := respond(t, row, all[0], got); r != row["response"] {
				t.Errorf("response %s, want %s", r, row["response"])
			}
		})
	}
	if len(rows) != 15 {
		t.Errorf("%d rows, want 15", len(rows))
	}
}

// wire writes a vector as the values of WWW-Authenticate and Authorization.
func wire(row map[string]string) (challenge, credentials string) {
	q := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	challenge = fmt.Sprintf("Digest realm=%s, nonce=%s, algorithm=%s", q(row["realm"]), q(row["nonce"]), row["algorithm"])
	credentials = fmt.Sprintf("Digest username=%s,realm=%s,\r\n nonce=%s,uri=%s, response=%s, algorithm=%s",
		q(row["username"]), q(row["realm"]), q(row["nonce"]), q(row["digest-uri"]), q(row["response"]), row["algorithm"])
	if row["qop"] != "" {
		challenge += ", qop=" + q(row["qop"])
		credentials += fmt.Sprintf(", qop=%s, cnonce=%s, nc=%s", row["qop"], q(row["cnonce"]), row["nc"])
	}
	return challenge, credentials
}

// respond computes the response as the phone did, from the values that were
// read and the password of the vector.
func respond(t *testing.T, row map[string]string, c Challenge, got Credentials) string {
	t.Helper()
	chal := &digest.Challenge{Realm: c.Realm, Nonce: c.Nonce, Algorithm: c.Algorithm, Opaque: c.Opaque}
	if c.QOP != "" {
		chal.QOP = strings.Split(c.QOP, ",")
	}
	opts := digest.Options{
		Method: row["method"], URI: got.URI, Username: got.Username, Password: row["password"],
		Cnonce: got.CNonce, Count: int(got.NC), GetBody: body(row["body"]),
	}
	if base, ok := strings.CutSuffix(c.Algorithm, "-sess"); ok {
		chal.Algorithm, opts.A1 = base, row["HA1"] // the library knows no session keys
	}
	if nc := row["nc"]; nc != "" {
		if n, err := strconv.ParseUint(nc, 16, 32); err != nil || uint32(n) != got.NC {
			t.Fatalf("nonce count %d, want %s", got.NC, nc)
		}
	}
	cred, err := digest.Digest(chal, opts)
	if err != nil {
		t.Fatal(err)
	}
	return cred.Response
}

func body(name string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		if name == "" || name == "(empty)" {
			return io.NopCloser(strings.NewReader("")), nil
		}
		return os.Open(filepath.Join("testdata", name))
	}
}

// TestVectorsBite: the response changes with everything that digest covers, so
// that equality above means something.
func TestVectorsBite(t *testing.T) {
	for _, row := range vectors(t) {
		if strings.HasSuffix(row["algorithm"], "-sess") {
			continue // its HA1 is given
		}
		for _, column := range []string{"username", "realm", "nonce", "digest-uri", "method", "password"} {
			changed := map[string]string{}
			for k, v := range row {
				changed[k] = v
			}
			changed[column] += "x"
			chal, cred := wire(changed)
			all, err := ParseChallenges(nil, chal)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseCredentials(cred)
			if err != nil {
				t.Fatal(err)
			}
			if respond(t, changed, all[0], got) == row["response"] {
				t.Errorf("%s: another %s gives the same response", row["id"], column)
			}
		}
	}
}
