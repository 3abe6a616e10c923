package transaction

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestFork plays scripts "[fail] BRANCH STATUS: DECISION".
func TestFork(t *testing.T) {
	rows := []struct {
		name     string
		kind     Kind
		branches int
		script   string
	}{
		{"one branch, 100 stays, 1xx and the final go", Invite, 1, `
			0 100: none
			0 180: forward 0
			0 199: forward 0
			0 486: forward 0
			0 486: none
			0 180: none`},
		{"486 and 603", Invite, 2, `
			0 486: none
			1 603: forward 1`},
		{"603 and 486: the others are cancelled, their answer awaited", Invite, 2, `
			0 603: cancel
			1 180: forward 1
			1 486: forward 0`},
		{"603 and 487 after our CANCEL", Invite, 3, `
			1 603: cancel
			0 487: none
			2 487: forward 1`},
		{"6xx then 2xx", Invite, 2, `
			0 600: cancel
			1 200: forward 1
			1 200: forward 1`},
		{"two 6xx: the first", Invite, 3, `
			2 604: cancel
			0 600: none
			1 486: forward 2`},
		{"407 and 401: merged", Invite, 2, `
			0 407: none
			1 401: forward 0 merge`},
		{"401 alone among others", Invite, 3, `
			0 404: none
			1 401: none
			2 486: forward 1`},
		{"401 twice and 603", Invite, 3, `
			0 401: none
			1 401: none
			2 603: forward 2`},
		{"401 twice and 302", Invite, 3, `
			0 401: none
			1 302: none
			2 401: forward 1`},
		{"404 and 503", Invite, 2, `
			0 404: none
			1 503: forward 0`},
		{"503 and 500", Invite, 2, `
			0 503: none
			1 500: forward 1`},
		{"503 alone is chosen, for its owner to map", Invite, 1, `
			0 503: forward 0`},
		{"415, 420, 484 before other 4xx", Invite, 4, `
			0 400: none
			1 484: none
			2 415: none
			3 403: forward 1`},
		{"a challenge before 415", Invite, 2, `
			0 415: none
			1 407: forward 1`},
		{"200 racing 486", Invite, 2, `
			0 200: forward 0 cancel
			1 486: none`},
		{"200 racing 200", Invite, 3, `
			0 180: forward 0
			1 200: forward 1 cancel
			0 180: none
			0 200: forward 0
			1 200: forward 1
			2 487: none
			0 202: forward 0`},
		{"200 of the only one", Invite, 1, `
			0 200: forward 0
			0 200: forward 0`},
		{"silence and 486, in either order", Invite, 3, `
			fail 0 408: none
			1 486: none
			fail 2 480: forward 1`},
		{"silence everywhere", Invite, 2, `
			fail 1 408: none
			fail 0 408: forward 1`},
		{"transport errors everywhere", Invite, 2, `
			fail 0 503: none
			fail 1 503: forward 0`},
		{"transport error and a 5xx", Invite, 2, `
			fail 0 503: none
			1 504: forward 1`},
		{"a branch that failed hears no more", Invite, 2, `
			fail 0 408: none
			0 486: none
			0 180: none
			fail 0 500: none
			1 404: forward 1`},
		{"487 after the caller's CANCEL", Invite, 2, `
			0 487: none
			1 487: forward 0`},
		{"a failure that looks like a challenge is none", Invite, 2, `
			fail 0 401: none
			1 401: forward 1`},
		{"non-INVITE: the first 2xx only, nothing to cancel", NonInvite, 3, `
			0 200: forward 0
			1 200: none
			0 200: none
			2 404: none`},
		{"non-INVITE: 6xx", NonInvite, 2, `
			0 603: none
			1 404: forward 0`},
		{"non-INVITE: timer F", NonInvite, 1, `
			0 100: none
			fail 0 408: forward 0`},
		{"more branches than are held inline", Invite, 7, `
			5 404: none
			6 180: forward 6
			0 486: none
			1 486: none
			6 603: cancel
			2 487: none
			3 487: none
			4 487: forward 6`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			f := NewFork(r.kind)
			for i := range r.branches {
				if got := f.Add(); got != i || f.Len() != i+1 || !f.Pending(i) {
					t.Fatalf("branch %d is numbered %d, length %d", i, got, f.Len())
				}
			}
			for line := range strings.Lines(r.script) {
				if line = strings.TrimSpace(line); line != "" {
					forkStep(t, &f, line)
				}
			}
		})
	}
}

func forkStep(t *testing.T, f *Fork, line string) {
	t.Helper()
	event, want, _ := strings.Cut(line, ": ")
	event, failed := strings.CutPrefix(event, "fail ")
	var i, status int
	if _, err := fmt.Sscan(event, &i, &status); err != nil {
		t.Fatal(err)
	}
	before := f.Status(i)
	d := f.Receive
	if failed {
		d = f.Fail
	}
	if got := decision(d(i, status)); got != want {
		t.Fatalf("%s: got %q", line, got)
	}
	if before == 0 && status >= 200 {
		before = status
	}
	if f.Status(i) != before || f.Pending(i) != (before == 0) {
		t.Fatalf("%s: status %d, pending %v", line, f.Status(i), f.Pending(i))
	}
}

func decision(d Decision) string {
	var s []string
	if d.Forward {
		s = append(s, fmt.Sprint("forward ", d.Branch))
	}
	if d.CancelOthers {
		s = append(s, "cancel")
	}
	if d.Merge {
		s = append(s, "merge")
	}
	if s == nil {
		return "none"
	}
	return strings.Join(s, " ")
}

// TestForkRandom: whatever the order of the outcomes, one final response goes
// back (and every 2xx), of the class that RFC 3261 §16.7 step 6 names, and the
// others are cancelled once.
func TestForkRandom(t *testing.T) {
	statuses := []int{200, 302, 401, 404, 407, 408, 415, 420, 480, 484, 486, 487, 500, 503, 504, 603, 606}
	for seed := range uint64(sequences) {
		r := rand.New(rand.NewPCG(seed, 3))
		var f Fork
		n := 1 + r.IntN(8)
		for range n {
			f.Add()
		}
		var got []int // the finals that went back
		var merge bool
		cancels := 0
		for k, i := range r.Perm(n) {
			status := statuses[r.IntN(len(statuses))]
			d := f.Receive(i, status)
			if d.Forward {
				got = append(got, f.Status(d.Branch))
				merge = d.Merge
			}
			if d.CancelOthers {
				if cancels++; k == n-1 {
					t.Fatalf("seed %d: cancels when nothing is pending", seed)
				}
			}
		}
		all := map[int]int{}
		for i := range n {
			all[f.Status(i)]++
		}
		if want := all[200]; want > 0 {
			if len(got) != want || got[0] != 200 {
				t.Fatalf("seed %d: %v: forwarded %v", seed, all, got)
			}
			continue
		}
		if len(got) != 1 || !bestByRFC(all, got[0]) || cancels > 1 {
			t.Fatalf("seed %d: %v: forwarded %v, %d cancels", seed, all, got, cancels)
		}
		challenged := got[0] == 401 || got[0] == 407
		if merge != (challenged && all[401]+all[407] > 1) {
			t.Fatalf("seed %d: %v: forwarded %v, merge %v", seed, all, got, merge)
		}
	}
}

// bestByRFC says whether §16.7 step 6 allows status as the best of all.
func bestByRFC(all map[int]int, status int) bool {
	class, preferred := 7, false
	for s := range all {
		if s >= 600 {
			return status >= 600
		}
		class = min(class, s/100)
		preferred = preferred || resubmit(s)
	}
	switch {
	case status/100 != class:
		return false
	case class == 4 && preferred:
		return resubmit(status)
	case status == 503:
		return len(all) == 1 // only where there was nothing else
	}
	return true
}

func resubmit(s int) bool {
	return s == 401 || s == 407 || s == 415 || s == 420 || s == 484
}
