package flow

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestBackoffDistribution: F-5, RFC 5626 §4.5: 30-60, 60-120 … 900-1800 s,
// uniform.
func TestBackoffDistribution(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n, hi := range []time.Duration{60, 120, 240, 480, 960, 1800, 1800, 1800} {
		hi *= time.Second
		var sum, least, most time.Duration
		var quarters [4]int
		least = time.Hour
		const draws = 4000
		for range draws {
			b := backoff{failures: n}
			d := b.failed(r.Float64())
			sum += d
			least, most = min(least, d), max(most, d)
			quarters[min(3, int(4*(d-hi/2)/(hi/2)))]++
		}
		mean := sum / draws
		if least < hi/2 || most > hi || mean < hi*74/100 || mean > hi*76/100 || slices.Min(quarters[:]) < draws/5 {
			t.Errorf("wait %d: %v to %v, mean %v, quarters %v, want %v to %v", n+1, least, most, mean, quarters, hi/2, hi)
		}
	}
	b := backoff{failures: 1 << 40}
	if d := b.failed(0); d != 900*time.Second {
		t.Errorf("after many failures: %v", d)
	}
}

func TestBackoffEnded(t *testing.T) {
	type end struct {
		worked bool
		lived  time.Duration
		want   time.Duration
	}
	for name, story := range map[string][]end{
		"long lives":                      {{true, time.Hour, 0}, {true, time.Hour, 0}},
		"one short life":                  {{true, time.Hour, 0}, {true, time.Second, 0}, {true, time.Hour, 0}},
		"two short lives":                 {{true, shortLife - 1, 0}, {true, shortLife - 1, 30 * time.Second}, {true, time.Second, 60 * time.Second}},
		"short, and long enough":          {{true, shortLife - 1, 0}, {true, shortLife, 0}, {true, shortLife - 1, 0}},
		"a long life forgets":             {{true, 1, 0}, {true, 1, 30 * time.Second}, {true, time.Hour, 0}, {true, 1, 0}, {true, 1, 30 * time.Second}},
		"what did not work is for others": {{false, time.Second, 0}, {false, time.Second, 0}},
	} {
		var b backoff
		for i, e := range story {
			if got := b.ended(e.worked, e.lived, 0); got != e.want {
				t.Errorf("%s: end %d: wait %v, want %v", name, i, got, e.want)
			}
		}
	}
}

// TestRefused: the attempts come at the exact times, the first one at once;
// after a flow that worked, at once again.
func TestRefused(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		dials := w.dials(one + ":5080")
		cfg := plain
		cfg.SourcePort = 0
		w.run(cfg)
		time.Sleep(4500 * time.Second)
		var want []time.Duration
		var at time.Duration
		for _, wait := range []time.Duration{0, 45, 90, 180, 360, 720, 1350, 1350} {
			at += wait * time.Second
			want = append(want, at)
		}
		if got := dials(); !slices.Equal(got, want) {
			t.Errorf("dialled at %v, want %v", got, want)
		}
		w.saw("err=\"198.51.100.10:5080 over TCP: ", "cause=\"nothing listens at the provider's address", "retry=45s", "retry=22m30s")
		s := w.serve(one+":5080", nil, true)
		w.next(Up, time.Hour)
		c := s.accepted()
		_, _ = c.Write([]byte(answer))
		time.Sleep(time.Minute)
		w.drain()
		_ = s.ln.Close()
		_ = c.tcp.Abort()
		w.at(Down, 0)
		time.Sleep(100 * time.Second)
		lost := at + 1350*time.Second + time.Minute
		// Up, then from the old port and another: at once, and after 45 s.
		want = append(want, lost-time.Minute, lost, lost, lost+45*time.Second, lost+45*time.Second)
		if got := dials(); !slices.Equal(got, want) {
			t.Errorf("dialled at %v, want %v", got, want)
		}
	})
}

// TestThrownOut: a server that takes the connection and closes it is not
// hammered.
func TestThrownOut(t *testing.T) {
	for name, spoke := range map[string]bool{"without a word": false, "after an answer": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				s := w.serve(one+":5080", nil, true)
				w.run(plain)
				start := time.Now()
				var at []int
				for time.Since(start) < time.Hour {
					select {
					case c := <-s.conns:
						at = append(at, int(time.Since(start).Seconds()))
						if spoke {
							_, _ = c.Write([]byte(answer))
						}
						_ = c.Close()
					case <-time.After(time.Minute):
					}
				}
				want := []int{0, 45, 135, 315, 675, 1395, 2745}
				if spoke {
					want = append([]int{0}, want...) // it worked before: once at once
				}
				if !slices.Equal(at, want) {
					t.Errorf("connected at %v s, want %v", at, want)
				}
			})
		})
	}
}
