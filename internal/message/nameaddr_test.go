package message

import "testing"

func TestParseNameAddr(t *testing.T) {
	for s, want := range map[string]NameAddr{
		"<sip:a@b>":                          {URI: "sip:a@b", Angle: true},
		"sip:a@b":                            {URI: "sip:a@b"},
		"sip:a@b;tag=1":                      {URI: "sip:a@b", Params: ";tag=1"},
		"sip:a@b ;   tag    = 1":             {URI: "sip:a@b", Params: ";   tag    = 1"},
		"\r\n sip:a@b\r\n ;tag=1 ":           {URI: "sip:a@b", Params: ";tag=1"},
		"<sip:a@b;lr>;tag=1":                 {URI: "sip:a@b;lr", Params: ";tag=1", Angle: true},
		"<sip:a@b?Route=%3Csip:x%3E>":        {URI: "sip:a@b?Route=%3Csip:x%3E", Angle: true},
		"caller<sip:a@b>;tag=1":              {Display: "caller", URI: "sip:a@b", Params: ";tag=1", Angle: true},
		"Big  Bob <sip:a@b>":                 {Display: "Big  Bob", URI: "sip:a@b", Angle: true},
		"Jörg (Lab) <sip:a@b>":               {Display: "Jörg (Lab)", URI: "sip:a@b", Angle: true},
		`"A, \"B\" <sip:x@y>" <sip:a@b>;q=1`: {Display: `"A, \"B\" <sip:x@y>"`, URI: "sip:a@b", Params: ";q=1", Angle: true},
		`""<sip:a@b>`:                        {Display: `""`, URI: "sip:a@b", Angle: true},
		"\"a\r\n b\"\r\n <sip:a@b>\r\n ;x":   {Display: "\"a\r\n b\"", URI: "sip:a@b", Params: ";x", Angle: true},
		`<sip:a@b>;i="<urn:x>;,";;;`:         {URI: "sip:a@b", Params: `;i="<urn:x>;,";;;`, Angle: true},
		"*":                                  {URI: "*"},
		`<sip:a@b>;i="\";";j="k"`:            {URI: "sip:a@b", Params: `;i="\";";j="k"`, Angle: true},
		" * ;x":                              {URI: "*", Params: ";x"},
		"sips:[::1]:5061;x":                  {URI: "sips:[::1]:5061", Params: ";x"},
		"isbn:2983792873":                    {URI: "isbn:2983792873"},
		"<http://www.example.com>;tag=3":     {URI: "http://www.example.com", Params: ";tag=3", Angle: true},
	} {
		a, err := ParseNameAddr(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if s[a.URIStart:a.URIEnd] != a.URI || s[a.ParamsStart:a.ParamsStart+len(a.Params)] != a.Params {
			t.Errorf("%q: offsets %+v", s, a)
		}
		if rest := s[a.ParamsStart+len(a.Params):]; skipBlanks(rest, 0) != len(rest) {
			t.Errorf("%q: %q after the parameters", s, rest)
		}
		a.URIStart, a.URIEnd, a.ParamsStart = 0, 0, 0
		if a != want {
			t.Errorf("%q: %+v, want %+v", s, a, want)
		}
	}
	for _, s := range []string{
		"", " ", "\r\n ", "<>", "<*>", "< sip:a@b>", "<sip:a@b >", "<sip:a@b", "sip:a@b>", "sip:a b", "sip:a@b x", "a@b", "<a@b>",
		"sip:a@b?x=y", "sip:a@b?x=y;z", "sip:a@b,sip:c@d", "Bell, Alex <sip:a@b>", `"A <sip:a@b>`, `"A" x <sip:a@b>`, `A "B" <sip:a@b>`,
		`"A"`, `"A" sip:a@b`, "<sip:a@b>x", "<sip:a@b> <sip:c@d>", "<sip:a@b>,<sip:c@d>", `<sip:a@b>;x="y`, `<sip:a@b>;x="\"`, `<sip:a@b>;x="\"";y="`,
		"<sip:a<b>", "<sip:a\"b@c>", "<sip:a\r\n @b>", "A;x <sip:a@b>", ";tag=1", "<:x>", "<1x:y>", "sip:a@b\x00",
	} {
		if a, err := ParseNameAddr(s); err == nil {
			t.Errorf("%q: %+v", s, a)
		}
	}
}

func TestParseNameAddrInsertsParams(t *testing.T) {
	for in, want := range map[string]string{
		"sip:a@b":           "sip:a@b;x",
		"sip:a@b;tag=1":     "sip:a@b;x;tag=1",
		"<sip:a@b> ;tag=1":  "<sip:a@b> ;x;tag=1",
		"<sip:a@b>":         "<sip:a@b>;x",
		"A <sip:a@b;lr>;q":  "A <sip:a@b;lr>;x;q",
		" \"A\" <sip:a@b> ": " \"A\" <sip:a@b> ;x",
	} {
		a, err := ParseNameAddr(in)
		if got := in[:a.ParamsStart] + ";x" + in[a.ParamsStart:]; err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
