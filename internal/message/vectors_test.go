package message

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readVector returns one message of testdata.
func readVector(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A reaction is what Parse says to a vector in each framing: "" accepts it.
type reaction struct {
	file             string
	datagram, stream string
}

const dropped = "drop: "

// The reactions of RFC 4475 §3 and RFC 5118 §4, as far as reading goes: 416,
// 420, 483 and the like are the proxy's.
var reactions = []reaction{
	{"rfc4475/wsinv", "", ""},
	{"rfc4475/intmeth", "", ""},
	{"rfc4475/esc01", "", ""},
	{"rfc4475/escnull", "", ""},
	{"rfc4475/esc02", "", ""},
	{"rfc4475/lwsdisp", "", ""},
	{"rfc4475/longreq", "", ""},
	{"rfc4475/dblreq", "", ""},
	{"rfc4475/semiuri", "", ""},
	{"rfc4475/transports", "", ""},
	{"rfc4475/mpart01", "", ""},
	{"rfc4475/unreason", "", ""},
	{"rfc4475/noreason", "", ""},
	{"rfc4475/badinv01", "400 Bad Via", "400 Bad Via"},
	{"rfc4475/clerr", "400 Body Too Short", "400 Body Too Short, close"},
	{"rfc4475/ncl", "400 Bad Content-Length", "400 Bad Content-Length, close"},
	{"rfc4475/scalar02", "400 Bad CSeq", "400 Bad CSeq"},
	{"rfc4475/scalarlg", dropped + "Bad CSeq", dropped + "Bad CSeq"},
	{"rfc4475/quotbal", "400 Bad To", "400 Bad To"},
	{"rfc4475/ltgtruri", "400 Bad Request-URI", "400 Bad Request-URI"},
	{"rfc4475/lwsruri", "400 Bad Request Line", "400 Bad Request Line"},
	{"rfc4475/lwsstart", "400 Bad Request Line", "400 Bad Request Line"},
	{"rfc4475/trws", "400 Bad Request Line", "400 Bad Request Line"},
	{"rfc4475/escruri", "400 Bad Request-URI", "400 Bad Request-URI"},
	{"rfc4475/baddate", "", ""},
	{"rfc4475/regbadct", "400 Bad Contact", "400 Bad Contact"},
	{"rfc4475/badaspec", "400 Bad To", "400 Bad To"},
	{"rfc4475/baddn", "400 No End of Headers", "400 No End of Headers, close"},
	{"rfc4475/wire/baddn", "400 Bad From", "400 Bad From"},
	{"rfc4475/badvers", "505 Version Not Supported", "505 Version Not Supported"},
	{"rfc4475/mismatch01", "400 CSeq Method Mismatch", "400 CSeq Method Mismatch"},
	{"rfc4475/mismatch02", "400 CSeq Method Mismatch", "400 CSeq Method Mismatch"},
	{"rfc4475/bigcode", dropped + "Bad Status Line", dropped + "Bad Status Line"},
	{"rfc4475/badbranch", "400 Bad Via Branch", "400 Bad Via Branch"},
	{"rfc4475/insuf", "400 Missing From", "400 Missing From"},
	{"rfc4475/unkscm", "", ""},
	{"rfc4475/novelsc", "", ""},
	{"rfc4475/unksm2", "", ""},
	{"rfc4475/bext01", "", ""},
	{"rfc4475/invut", "", ""},
	{"rfc4475/regaut01", "", ""},
	{"rfc4475/multi01", "400 Duplicate From", "400 Duplicate From"},
	{"rfc4475/mcl01", "400 Duplicate Content-Length", "400 Duplicate Content-Length, close"},
	{"rfc4475/bcast", "", ""},
	{"rfc4475/zeromf", "", ""},
	{"rfc4475/cparam01", "", ""},
	{"rfc4475/cparam02", "", ""},
	{"rfc4475/regescrt", "", ""},
	{"rfc4475/sdp01", "", ""},
	{"rfc4475/inv2543", "", "400 Missing Content-Length, close"},
	{"rfc4475/test", dropped + "Bad Request Line", dropped + "Bad Request Line"},
	{"rfc5118/wire/ipv6-good", "", ""},
	{"rfc5118/wire/ipv6-bad", "400 Bad Request-URI", "400 Bad Request-URI"},
	{"rfc5118/wire/port-ambiguous", "", ""},
	{"rfc5118/wire/port-unambiguous", "", ""},
	{"rfc5118/wire/via-received-param-with-delim", "", ""},
	{"rfc5118/wire/via-received-param-no-delim", "", ""},
	{"rfc5118/wire/ipv6-in-sdp", "", ""},
	{"rfc5118/wire/mult-ip-in-header", "", ""},
	{"rfc5118/wire/mult-ip-in-sdp", "", ""},
	{"rfc5118/wire/ipv4-mapped-ipv6", "", ""},
	{"rfc5118/wire/ipv6-bug-abnf-3-colons", "", ""},
	{"rfc5118/wire/ipv6-correct-abnf-2-colons", "", ""},
}

func TestReactionToTortureMessages(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range reactions {
		seen[r.file] = true
		t.Run(r.file, func(t *testing.T) {
			raw := readVector(t, r.file+".dat")
			for f, want := range map[Framing]string{Datagram: r.datagram, Stream: r.stream} {
				_, err := Parse(raw, f)
				if got := describe(err); got != want {
					t.Errorf("framing %d: %q, want %q", f, got, want)
				}
			}
		})
	}
	for _, pattern := range []string{"rfc4475/*.dat", "rfc4475/wire/*.dat", "rfc5118/wire/*.dat"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no vectors %s: %v", pattern, err)
		}
		for _, f := range files {
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(f), "testdata/"), ".dat")
			if !seen[name] {
				t.Errorf("%s has no reaction", name)
			}
		}
	}
}
