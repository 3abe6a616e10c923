package metrics

import (
	"regexp"
	"sync"
	"testing"
)

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for c := range counters {
		if name := c.String(); seen[name] || !regexp.MustCompile(`^[a-z]+(_[a-z]+)*_total$`).MatchString(name) {
			t.Errorf("counter %d has the name %q", c, name)
		}
		seen[c.String()] = true
	}
}

func TestSet(t *testing.T) {
	var s Set
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				s.Add(CallsIn)
			}
			s.AddN(MediaPortsOpened, 4)
		})
	}
	all.Wait()
	if s.Get(CallsIn) != 400 || s.Get(CallsOut) != 0 {
		t.Errorf("calls in %d, out %d", s.Get(CallsIn), s.Get(CallsOut))
	}
	got := s.Snapshot()
	if len(got) != int(counters) || got["calls_in_total"] != 400 || got["media_ports_opened_total"] != 16 {
		t.Errorf("snapshot %v", got)
	}
}

func TestNilSet(t *testing.T) {
	var s *Set
	s.Add(CallsIn)
	if s.Get(CallsIn) != 0 || len(s.Snapshot()) != int(counters) {
		t.Error("a nil set counts")
	}
}
