package media

import (
	"net/netip"
	"testing"
)

func TestRTCPLatch(t *testing.T) {
	rtcp1 := netip.AddrPortFrom(media1.Addr(), media1.Port()+1)
	plain := &policy{rtp: media1, rtcp: rtcp1}
	bridged := &policy{rtp: media1, rtcp: rtcp1, bridged: true}
	held := &policy{hold: true}
	for name, c := range map[string]struct {
		r    remote
		from netip.AddrPort
		want verdict
	}{
		"signalled":                       {remote{policy: plain, toRTCP: rtcp1}, rtcp1, accept},
		"its ip, before RTP":              {remote{policy: plain, toRTCP: rtcp1}, media2, accept},
		"another, before RTP":             {remote{policy: plain, toRTCP: rtcp1}, third, drop},
		"RTP's ip":                        {remote{policy: plain, toRTCP: rtcp1, src: sip, settled: true}, sip, learn},
		"RTP's ip, known":                 {remote{policy: plain, toRTCP: sip, src: sip, settled: true}, sip, accept},
		"RTP's ip under an earlier offer": {remote{policy: plain, toRTCP: rtcp1, src: sip}, sip, accept},
		"signalled ip, RTP from another":  {remote{policy: plain, toRTCP: sip, src: sip, settled: true}, media2, accept},
		"another, RTP locked":             {remote{policy: plain, toRTCP: rtcp1, src: media1, settled: true}, third, drop},
		"signalled, after another":        {remote{policy: plain, toRTCP: media2, src: media1, settled: true}, rtcp1, learn},
		"bridged":                         {remote{policy: bridged, toRTCP: rtcp1, src: media1, settled: true}, rtcp1, accept},
		"bridged, its ip":                 {remote{policy: bridged, toRTCP: rtcp1, src: media1, settled: true}, media2, drop},
		"hold":                            {remote{policy: held, src: media1}, media2, accept},
		"hold, another":                   {remote{policy: held, src: media1}, third, drop},
	} {
		var l rtcpLatch
		if got := l.judge(&c.r, punchRTCP(1), c.from); got != c.want {
			t.Errorf("%s: verdict %d, want %d", name, got, c.want)
		}
		var again rtcpLatch
		if got := again.judge(&c.r, []byte("no rtcp"), c.from); got != min(c.want, accept) {
			t.Errorf("%s, no RTCP: verdict %d", name, got)
		}
	}
	var l rtcpLatch
	r := remote{policy: plain, toRTCP: rtcp1, src: media1, settled: true}
	for i, c := range []struct {
		from netip.AddrPort
		want verdict
	}{{rtcp1, accept}, {media2, accept}} { // the signalled one has spoken
		if got := l.judge(&r, punchRTCP(1), c.from); got != c.want {
			t.Errorf("%d: verdict %d, want %d", i, got, c.want)
		}
	}
	r.src = media2 // a NAT moved the far end
	if got := l.judge(&r, punchRTCP(1), media2); got != learn {
		t.Errorf("after a move: verdict %d", got)
	}
}
