package errorbody

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What one layer of escapes stands for: every form of the package's comment, and
// what only looks like one.
func TestUnescape(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		is     string
		length int
	}{
		"a": {"a", 1},
		"+": {" ", 1},

		`\/-`: {"/", 2},
		`\"-`: {`"`, 2},
		`\a-`: {"\a", 2}, `\b-`: {"\b", 2}, `\f-`: {"\f", 2}, `\n-`: {"\n", 2},
		`\r-`: {"\r", 2}, `\t-`: {"\t", 2}, `\v-`: {"\v", 2},
		`\\\\n-`:       {"\n", 5},
		`\`:            {"", 1},
		`\\\`:          {"", 3},
		`\x3d-`:        {"=", 4},
		`\x3D`:         {"=", 4},
		`\x3`:          {"x", 2},
		`\x3g-`:        {"x", 2},
		`\u003d-`:      {"=", 6},
		`\u53d1`:       {"发", 6},
		`\u003`:        {"u", 2},
		`\u003g-`:      {"u", 2},
		`\U0000003d-`:  {"=", 10},
		`\U0001f600`:   {"😀", 10},
		`\U003d-`:      {"=", 6},
		`\u003d003d-`:  {"=", 6},
		`\ud83d\ude00`: {"😀", 12},

		`\ud83d\\\uDE00-`:   {"😀", 14},
		`\ud83d\Ude00-`:     {"😀", 12},
		`\ud83d-\ude00`:     {"\ufffd", 6},
		`\ud83dude00`:       {"\ufffd", 6},
		`\ud83d\ude0`:       {"\ufffd", 6},
		`\ud83d\u003d`:      {"\ufffd", 6},
		`\ud83d\`:           {"\ufffd", 6},
		`\ud83d`:            {"\ufffd", 6},
		`\ud83d\tde00`:      {"\ufffd", 6},
		`\u003d\ude00`:      {"=", 6},
		"%3d-":              {"=", 3},
		"%3D":               {"=", 3},
		"%00":               {"\x00", 3},
		"%fF":               {"\xff", 3},
		"%9a":               {"\x9a", 3},
		"%3":                {"%", 1},
		"%3g":               {"%", 1},
		"%3@":               {"%", 1},
		"%3:":               {"%", 1},
		"%3/":               {"%", 1},
		"%":                 {"%", 1},
		"&":                 {"&", 1},
		"&#":                {"&", 1},
		"&#61;-":            {"=", 5},
		"&#61-":             {"=", 4},
		"&#61":              {"=", 4},
		"&#9;":              {"\t", 4},
		"&#x3d;-":           {"=", 6},
		"&#X3D;-":           {"=", 6},
		"&#x3d-":            {"=", 5},
		"&#x9;":             {"\t", 5},
		"&#3d;":             {"\x03", 3},
		"&#x;":              {"&", 1},
		"&#;":               {"&", 1},
		"&#x10ffff;":        {"\U0010ffff", 10},
		"&#x10ffff0;":       {"&", 1},
		"&#x10000003d;":     {"&", 1},
		"&#6a;":             {"\x06", 3},
		"&#x110000;":        {"&", 1},
		"&#0000000000061;-": {"=", 16},
		"&commat;-":         {"@", 8},
		"&none;":            {"&", 1},
		"&;":                {"&", 1},
		"&lt":               {"&", 1},
	} {
		out, n, length := unescape([]byte(text))
		assert.Equal(t, want.is, string(out[:n]), "%s", text)
		assert.Equal(t, want.length, length, "%s", text)
	}
}

// The names of the ASCII characters that credentials are made of.
func TestNamedEntities(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"amp": "&", "AMP": "&", "lt": "<", "LT": "<", "gt": ">", "GT": ">", "quot": `"`, "QUOT": `"`, "apos": "'",
		"equals": "=", "plus": "+", "sol": "/", "bsol": `\`, "colon": ":", "semi": ";", "comma": ",", "period": ".",
		"excl": "!", "quest": "?", "num": "#", "dollar": "$", "percnt": "%", "ast": "*", "midast": "*",
		"lpar": "(", "rpar": ")", "commat": "@", "lsqb": "[", "lbrack": "[", "rsqb": "]", "rbrack": "]",
		"lcub": "{", "lbrace": "{", "rcub": "}", "rbrace": "}", "verbar": "|", "vert": "|", "VerticalLine": "|",
		"lowbar": "_", "UnderBar": "_", "grave": "`", "DiacriticalGrave": "`", "Hat": "^", "Tab": "\t", "NewLine": "\n",
	} {
		text := "&" + name + ";"
		out, n, length := unescape([]byte(text + "-"))
		assert.Equal(t, want, string(out[:n]), text)
		assert.Equal(t, len(text), length, text)
		assert.Equal(t, "(REDACTED)", Clean("(s3same"+text+"-x)", 99, []string{"s3same" + want + "-x"}), text)
	}
}

// Up to three layers of escapes are undone, of any kinds.
func TestThreeLayers(t *testing.T) {
	t.Parallel()
	const secret = "open/sesame"
	for _, text := range []string{
		"open/sesame", "open%2fsesame", "open%252fsesame", "open%25252fsesame",
		`open\u0025252fsesame`, "open&#x25;252fsesame", `open\x26#x25;2fsesame`,
	} {
		assert.Equal(t, fmt.Sprintf("(%s)", Redacted), Clean("("+text+")", 99, []string{secret}), text)
	}
}
