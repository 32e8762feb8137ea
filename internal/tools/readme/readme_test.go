package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// write makes a checkout of a module with one function, and the given files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{
		"go.mod":       "module example.com/greet\n\ngo 1.25.0\n",
		"greet.go":     "package greet\n\n// Hello greets.\nfunc Hello(name string) string { return \"Hello, \" + name }\n",
		"docs/more.md": "# More\n\n## The end\n",
	}
	for name, text := range files {
		all[name] = strings.ReplaceAll(text, "~~~", "```")
	}
	for name, text := range all {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return dir
}

// check runs the command over the README of such a checkout.
func check(t *testing.T, text string) (string, error) {
	t.Helper()
	dir := write(t, map[string]string{"README.md": text})
	var out bytes.Buffer
	err := run(t.Context(), []string{"-checkout", dir, filepath.Join(dir, "README.md")}, &out)
	return out.String(), err
}

const good = `# Greet

See [the end](docs/more.md#the-end), [below](#two-words), [again](#two-words-1), the [code](greet.go#L3), the
[folder](docs), [elsewhere](https://example.com/none#none), <a href="/docs/more.md">from the top</a> and [by name][more].

[more]: docs/more.md

## Two words
## Two ~words~!

In code there are no links: ~[x](none.md)~.

~~~go
package main

import "example.com/greet"

func main() { println(greet.Hello("you")) }
~~~

- in a list:

  ~~~go
  package greet_test

  import (
  	"testing"

  	"example.com/greet"
  )

  func TestHello(t *testing.T) { t.Log(greet.Hello("you")) }
  ~~~

<!-- compile with fmt, example.com/greet; given name string; returning error -->
~~~go
text := greet.Hello(name)
if text == "" {
	return fmt.Errorf("nothing for %s", name)
}
again, _ := text, 1
~~~

<!-- compile with example.com/greet -->
~~~go
var greeting = greet.Hello("you")
~~~

A fragment without a marker may be anything:

~~~go
rec, err := …
~~~

~~~sh
# not a heading [x](none.md)
~~~
`

func TestWhatIsRight(t *testing.T) {
	out, err := check(t, strings.ReplaceAll(strings.ReplaceAll(good, "~words~", "`words`"), "~[x](none.md)~", "`[x](none.md)`"))
	require.NoError(t, err)
	assert.Contains(t, out, "README.md: 8 links, 5 blocks of Go, 4 of them compiled\n")
}

func TestWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ text, fault string }{
		"a program that does not compile": {"\n~~~go\npackage main\n\nfunc main() { missing() }\n~~~\n", "README.md:5: undefined: missing"},
		"a test that does not compile":    {"~~~go\npackage greet_test\n\nvar x int = greet.Hello\n~~~\n", "README.md:4: undefined: greet"},
		"what go vet finds":               {"~~~go\npackage main\n\nimport \"fmt\"\n\nfunc main() { fmt.Printf(\"%d\", \"x\") }\n~~~\n", "README.md:6: fmt.Printf format %d"},
		"statements that do not compile":  {"<!-- compile -->\n~~~go\nx := 1\nx.y()\n~~~\n", "README.md:4: x.y undefined"},
		"an import that is not used":      {"<!-- compile with fmt -->\n~~~go\nvar x = 1\n~~~\n", `"fmt" imported and not used`},
		"a marker with a slip":            {"<!-- compile witth fmt -->\n~~~go\nvar x = 1\n~~~\n", `README.md:3: "witth" is no part of a marker`},
		"no such file":                    {"\n[x](docs/none.md)\n", "README.md:2: there is no file for docs/none.md"},
		"no such picture":                 {"![x](none.png)\n", "there is no file for none.png"},
		"no such file, defined":           {"[x]: none.md\n", "there is no file for none.md"},
		"no such file, in HTML":           {`<img src="none.png">`, "there is no file for none.png"},
		"no such heading":                 {"[x](#none)\n", `there is no heading for "#none"`},
		"no such heading elsewhere":       {"[x](docs/more.md#none)\n", "docs/more.md has no heading"},
		"a heading in code":               {"~~~sh\n# none\n~~~\n[x](#none)\n", "there is no heading"},
		"out of the repository":           {"[x](../other.md)\n", "leads out of the repository"},
		"nowhere":                         {"[x]()\n", "there is no heading"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := check(t, c.text)
			assert.ErrorContains(t, err, c.fault)
		})
	}
}

func TestMarkersAreForTheNextLine(t *testing.T) {
	out, err := check(t, "<!-- compile -->\n\n~~~go\nx.y()\n~~~\n<!-- compile -->\n~~~sh\nls\n~~~\n~~~go\nx.y()\n~~~\n")
	require.NoError(t, err)
	assert.Contains(t, out, "2 blocks of Go, 0 of them compiled")
}

func TestCommentsHoldNoLinks(t *testing.T) {
	out, err := check(t, "<!-- [x](none.md) -->\n")
	require.NoError(t, err)
	assert.Contains(t, out, "README.md: 0 links")
}

func TestRunNeedsFiles(t *testing.T) {
	assert.Error(t, run(t.Context(), nil, new(bytes.Buffer)))
	assert.Error(t, run(t.Context(), []string{filepath.Join(t.TempDir(), "none.md")}, new(bytes.Buffer)))
}

func TestSlug(t *testing.T) {
	for heading, want := range map[string]string{
		"Try it":                  "try-it",
		"What's `New` in 0.1.0?":  "whats-new-in-010",
		"a - b_c":                 "a---b_c",
		"[Docs](doc.go) of Übung": "docs-of-übung",
	} {
		assert.Equal(t, want, slug(heading))
	}
}

func TestParseMarker(t *testing.T) {
	f, ok, err := parseMarker("compile with context, example.com/x; given ctx context.Context, n int; returning int, error")
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, fragment{[]string{"context", "example.com/x"}, "ctx context.Context, n int", "int, error"}, f)

	for _, other := range []string{"", "compiled by hand", "a comment"} {
		_, ok, err := parseMarker(other)
		assert.NoError(t, err)
		assert.False(t, ok, other)
	}
}
