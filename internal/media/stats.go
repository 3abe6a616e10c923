package media

import (
	"net/netip"
	"time"
)

// Stats is what a session has relayed.
type Stats struct{ Streams []StreamStats }

// StreamStats is one stream, indexed by Side.
type StreamStats [2]SideStats

// SideStats is one side of a stream.
type SideStats struct {
	RTP, RTCP PortStats
	Source    netip.AddrPort // where its RTP comes from; zero: not learned yet
	Strange   uint64         // of the RTP packets: from a source that is only heard, as the signalled address is silent
}

// PortStats counts the packets of one socket.
type PortStats struct {
	Packets, Bytes uint64    // received from the far end
	Foreign        uint64    // received from others and dropped, or longer than 2047 bytes
	Unsent         uint64    // for the far end, which has no address yet, or the socket refused
	LastSeen       time.Time // of Packets; zero: none yet
}

// Stats returns the counters as of now; they stay readable after Close.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Streams: make([]StreamStats, len(s.legs[LAN]))}
	for side, legs := range s.legs {
		for i, l := range legs {
			st.Streams[i][side] = l.stats()
		}
	}
	return st
}

func (l *leg) stats() SideStats {
	st := SideStats{RTP: l.stats1(&l.rtp), RTCP: l.stats1(&l.rtcp), Strange: l.strange.Load()}
	if r := l.remote.Load(); r != nil {
		st.Source = r.src
	}
	return st
}

func (l *leg) stats1(p *port) PortStats {
	st := PortStats{Packets: p.packets.Load(), Bytes: p.bytes.Load(), Foreign: p.foreign.Load(), Unsent: p.unsent.Load()}
	if seen := p.seen.Load(); seen != 0 {
		st.LastSeen = l.session.relay.start.Add(time.Duration(seen))
	}
	return st
}
