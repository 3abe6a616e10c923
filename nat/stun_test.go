package nat

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/pion/stun/v2"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "rfc5769", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRFC5769 reads the sample messages of RFC 5769 §2.
func TestRFC5769(t *testing.T) {
	for name, want := range map[string]string{
		"response-ipv4.bin": "192.0.2.1:32853",
		"response-ipv6.bin": "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
	} {
		b := vector(t, name)
		m, err := decode(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := mappedAddress(m); err != nil || got.String() != want {
			t.Errorf("%s: mapped address %v, %v, want %s", name, got, err, want)
		}
		if err := stun.NewShortTermIntegrity("VOkJxbRl1RmTxUk/WvJxBt").Check(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b[len(b)-1] ^= 1
		if Validate(b) == nil {
			t.Errorf("%s: a wrong fingerprint passes", name)
		}
	}
	for _, name := range []string{"request.bin", "request-longterm.bin"} {
		if err := Validate(vector(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// raw builds a success response with the transaction id 1..12 and attributes
// of (type, value) as they come, right or wrong.
func raw(attrs ...any) []byte {
	b := []byte{1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for i := 0; i < len(attrs); i += 2 {
		v := attrs[i+1].([]byte)
		b = binary.BigEndian.AppendUint16(b, uint16(attrs[i].(int)))
		b = binary.BigEndian.AppendUint16(b, uint16(len(v)))
		b = append(b, v...)
		b = append(b, make([]byte, -len(v)&3)...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize))
	return b
}

func TestValidate(t *testing.T) {
	v4 := []byte{0, 1, 0x9c, 0x40, 203, 0, 113, 2}
	v6 := append([]byte{0, 2, 0x9c, 0x40}, make([]byte, 16)...)
	bend := func(f func(b []byte) []byte) []byte { return f(raw(0x0020, v4)) }
	for name, c := range map[string]struct {
		b  []byte
		ok bool
	}{
		"empty message":             {raw(), true},
		"ipv4":                      {raw(0x0020, v4), true},
		"ipv6":                      {raw(0x0001, v6), true},
		"unknown attribute":         {raw(0x7777, []byte("any")), true},
		"no bytes":                  {nil, false},
		"short header":              {raw()[:19], false},
		"no cookie":                 {bend(func(b []byte) []byte { b[4]++; return b }), false},
		"first byte 4":              {bend(func(b []byte) []byte { b[0] = 4; return b }), false},
		"bytes after the end":       {bend(func(b []byte) []byte { return append(b, 0, 0, 0, 0) }), false},
		"cut":                       {bend(func(b []byte) []byte { return b[:len(b)-4] }), false},
		"length no multiple of 4":   {bend(func(b []byte) []byte { b[3]++; return append(b, 0) }), false},
		"attribute past the end":    {bend(func(b []byte) []byte { b[23]++; return b }), false},
		"padding past the end":      {bend(func(b []byte) []byte { b[23] = 9; return b }), false},
		"address of 5 bytes":        {raw(0x0020, v4[:5]), false},
		"address of 1 byte":         {raw(0x0012, v4[:1]), false},
		"empty relayed address":     {raw(0x0016, v4[:0]), false},
		"family 3":                  {raw(0x0001, append([]byte{0, 3}, v4[2:]...)), false},
		"ipv4 with 20 bytes":        {raw(0x802c, append([]byte{0, 1}, v6[2:]...)), false},
		"draft address of 7 bytes":  {raw(0x8020, v4[:7]), false},
		"response origin, 5 bytes":  {raw(0x802b, v4[:5]), false},
		"alternate server, 5 bytes": {raw(0x8023, v4[:5]), false},
		"error code of 2 bytes":     {raw(0x0009, v4[:2]), false},
		"short integrity":           {raw(0x0008, v4), false},
		"lifetime of 8 bytes":       {raw(0x000d, v4), false},
		"fingerprint not last":      {raw(0x8028, v4[:4], 0x0020, v4), false},
		"wrong fingerprint":         {raw(0x8028, v4[:4]), false},
		"odd unknown attributes":    {raw(0x000a, v4[:3]), false},
	} {
		if err := Validate(c.b); (err == nil) != c.ok {
			t.Errorf("%s: Validate says %v", name, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	peer := netip.MustParseAddrPort("[::ffff:192.168.1.20]:5062")
	request := bindingRequest()
	answer, ok := Answer(request, peer)
	if !ok {
		t.Fatal("no answer to a request")
	}
	p := NewProber(peer)
	p.request = request
	mapped, done, err := p.Handle(answer, netip.MustParseAddrPort("192.168.1.20:5062"))
	if !done || err != nil || mapped.String() != "192.168.1.20:5062" {
		t.Errorf("the answer says %v, %v, %v", mapped, done, err)
	}
	for name, b := range map[string][]byte{
		"an indication":    stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw,
		"an answer":        answer,
		"another method":   stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw,
		"a broken request": request[:24],
		"sip":              []byte("OPTIONS sip:192.168.1.2 SIP/2.0\r\n"),
	} {
		if _, ok := Answer(b, peer); ok {
			t.Errorf("%s is answered", name)
		}
	}

	change := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.RawAttribute{Type: stun.AttrChangeRequest, Value: []byte{0, 0, 0, 6}})
	refusal, ok := Answer(change.Raw, peer)
	m, err := decode(refusal)
	if !ok || err != nil || m.Type != stun.BindingError {
		t.Fatalf("what we do not understand is answered with %x, %v", refusal, err)
	}
	if v, err := m.Get(stun.AttrUnknownAttributes); err != nil || !bytes.Equal(v, []byte{0, 3}) {
		t.Errorf("unknown attributes %x, %v", v, err)
	}
}

// FuzzValidate: what passes the guard must not trip a decoder.
func FuzzValidate(f *testing.F) {
	for _, name := range []string{"request.bin", "request-longterm.bin", "response-ipv4.bin", "response-ipv6.bin"} {
		f.Add(vector(f, name))
	}
	f.Add(raw(0x0020, []byte{0, 1, 0, 1}))
	f.Add(raw(0x8020, []byte{0, 1, 0, 1, 2}))
	f.Add(raw(0x0009, []byte{0, 0, 4, 0}, 0x0012, []byte{0, 1, 2, 3, 4, 5, 6, 7}, 0x0016, []byte{0}))
	server := netip.MustParseAddrPort("198.51.100.20:3478")
	f.Fuzz(func(t *testing.T, b []byte) {
		p := NewProber(server)
		if len(b) >= headerSize {
			copy(p.request[8:headerSize], b[8:headerSize])
		}
		mapped, done, err := p.Handle(b, server)
		if done && err == nil && (!mapped.IsValid() || mapped.Port() == 0) {
			t.Errorf("mapped address %v", mapped)
		}
		Answer(b, server)
		if Validate(b) != nil {
			return
		}
		m := &stun.Message{Raw: bytes.Clone(b)} // as tight as turn's client has it
		if err := m.Decode(); err != nil {
			t.Fatalf("decoding what Validate passed: %v", err)
		}
		for _, attr := range addressAttrs {
			var x stun.XORMappedAddress
			if err := x.GetFromAs(m, attr); err == nil && len(x.IP) != 4 && len(x.IP) != 16 {
				t.Errorf("address of %d bytes", len(x.IP))
			}
			var plain stun.MappedAddress
			_ = plain.GetFromAs(m, attr) // must not panic
		}
		var code stun.ErrorCodeAttribute
		var unknown stun.UnknownAttributes
		_ = code.GetFrom(m)
		_ = unknown.GetFrom(m)
		_ = stun.Fingerprint.Check(m)
		_ = stun.NewShortTermIntegrity("password").Check(m)
	})
}
