package message

import (
	"slices"
	"testing"
)

func TestParam(t *testing.T) {
	const odd = ";A=1; b = \"x;y=\\\"z\\\"\" ;c;;lr;d=;\r\n E\r\n =\r\n v ; f=g=h;a=2;g = ;x"
	for _, c := range []struct {
		name, want string
		ok         bool
	}{
		{"a", "1", true},
		{"A", "1", true},
		{"b", `"x;y=\"z\""`, true},
		{"c", "", true},
		{"lr", "", true},
		{"d", "", true},
		{"e", "v", true},
		{"f", "g=h", true},
		{"y", "", false},
		{"", "", false},
		{"bb", "", false},
		{"g", "", true},
	} {
		if v, ok := Param(odd, c.name); v != c.want || ok != c.ok {
			t.Errorf("Param(%q) = %q, %v, want %q, %v", c.name, v, ok, c.want, c.ok)
		}
	}
	for params, want := range map[string]string{";lr": "", ";lr=on": "on", ";lr=true;x": "true", "lr=1": "1", " ;LR=2": "2"} {
		if v, ok := Param(params, "lr"); !ok || v != want {
			t.Errorf("Param(%q, lr) = %q, %v", params, v, ok)
		}
	}
	for _, params := range []string{"", ";", ";;", " ", ";l r", ";x=\"lr", ";x=\";lr\"", "\r\n", ";=lr"} {
		if v, ok := Param(params, "lr"); ok {
			t.Errorf("Param(%q, lr) = %q", params, v)
		}
	}
}

func TestParamSpan(t *testing.T) {
	for _, c := range []struct{ params, name, rest string }{
		{";a=1;b=2;c=3", "b", ";a=1;c=3"},
		{";a=1;b=2", "b", ";a=1"},
		{";a=1", "A", ""},
		{"; a = 1 ; b = 2 ; c", "b", "; a = 1 ; c"},
		{"; a = 1\r\n ;\r\n b\r\n = 2", "b", "; a = 1\r\n "},
		{`;a="x;b=1";b=2;c`, "b", `;a="x;b=1";c`},
		{";received=[2001:db8::9:255];x", "received", ";x"},
		{";lr;x", "lr", ";x"},
	} {
		start, end, ok := ParamSpan(c.params, c.name)
		if rest := c.params[:start] + c.params[end:]; !ok || rest != c.rest {
			t.Errorf("%q without %s: %q, want %q", c.params, c.name, rest, c.rest)
		}
	}
	if _, _, ok := ParamSpan(";a=b", "b"); ok {
		t.Error("found what is a value")
	}
}

func TestParams(t *testing.T) {
	var got []string
	for name, value := range Params(` ;a=1;; b = "x;y" ;c;`) {
		got = append(got, name+"|"+value)
	}
	if want := []string{"a|1", `b|"x;y"`, "c|"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range Params(";a;b") {
		break
	}
}

func TestUnquote(t *testing.T) {
	for in, want := range map[string]string{
		`"a b"`: "a b", `"a\"b\\"`: `a"b\`, `""`: "", `a`: "a", `"`: `"`, `"a`: `"a`, "": "", `"a\`: `"a\`,
	} {
		if got := Unquote(in); got != want {
			t.Errorf("Unquote(%q) = %q, want %q", in, got, want)
		}
	}
}
