package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
		"say_test.go":  "package greet\n\nimport \"testing\"\n\nfunc TestGreeting(t *testing.T) {}\n\nfunc TestNothing(t *testing.T) {}\n",
		".ci/run":      "step vet go vet ./...\n",
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

<!-- not compiled: it is a sketch -->
~~~go
rec, err := …
~~~

It is tested by ~TestGreeting~, with ~go test -run 'TestGreet\|TestNothing' .~:

~~~sh
# not a heading [x](none.md)
go vet ./... # a step
~~~

<!-- not run: nobody has published it -->
~~~sh
go get example.com/greet
~~~

<!-- run -->
~~~sh
go mod init example.com/you
go mod edit -require example.com/greet@v0.0.0 -replace example.com/greet=../apig
sleep 1000 &
~~~

<!-- run on -->
~~~sh
test "$(go run . 2>&1)" = "Hello, you"
~~~

<!-- run in the checkout -->
~~~sh
test -e greet.go
~~~
`

func TestWhatIsRight(t *testing.T) {
	text := good
	for _, span := range []string{"words", "[x](none.md)", "TestGreeting", `go test -run 'TestGreet\|TestNothing' .`} {
		text = strings.ReplaceAll(text, "~"+span+"~", "`"+span+"`")
	}
	out, err := check(t, text)
	require.NoError(t, err)
	assert.Contains(t, out, "README.md: 8 links, 4 blocks compiled, 3 run\n")
}

func TestWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ text, fault string }{
		"a program that does not compile": {"\n~~~go\npackage main\n\nfunc main() { missing() }\n~~~\n", "README.md:5: undefined: missing"},
		"a test that does not compile":    {"~~~go\npackage greet_test\n\nvar x int = greet.Hello\n~~~\n", "README.md:4: undefined: greet"},
		"what go vet finds":               {"~~~go\npackage main\n\nimport \"fmt\"\n\nfunc main() { fmt.Printf(\"%d\", \"x\") }\n~~~\n", "README.md:6: fmt.Printf format %d"},
		"statements that do not compile":  {"<!-- compile -->\n~~~go\nx := 1\nx.y()\n~~~\n", "README.md:4: x.y undefined"},
		"an import that is not used":      {"<!-- compile with fmt -->\n~~~go\nvar x = 1\n~~~\n", `"fmt" imported and not used`},
		"a marker with a slip":            {"<!-- compile witth fmt -->\n~~~go\nvar x = 1\n~~~\n", `README.md:3: "witth" is no part of a marker`},
		"a fragment without a marker":     {"~~~go\nx := 1\n~~~\n", "README.md:2: a fragment needs a marker"},
		"no reason":                       {"<!-- not compiled: -->\n~~~go\nx := 1\n~~~\n", "README.md:3: a fragment needs a marker"},
		"what gofmt would change":         {"~~~go\npackage main\n\nfunc main( ) {}\n~~~\n", "README.md:2: gofmt would change it"},
		"a test that fails":               {"~~~go\npackage greet_test\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t.Error(\"seen\") }\n~~~\n", "seen"},
		"a command that is no step":       {"~~~sh\ngo vet ./... # a step\ngo build ./...\n~~~\n", `README.md:2: "go build ./..." is no step of .ci/run`},
		"no reason not to run":            {"<!-- not run: -->\n~~~sh\ngo build ./...\n~~~\n", "is no step of .ci/run"},
		"a command that fails":            {"<!-- run -->\n~~~sh\necho seen\nfalse\ntrue\n~~~\n", "README.md:3: exit status 1\nseen"},
		"a pipe that fails":               {"<!-- run -->\n~~~sh\nfalse | true\n~~~\n", "README.md:3: exit status 1"},
		"a folder that is not empty":      {"<!-- run -->\n~~~sh\ntouch x\n~~~\n<!-- run -->\n~~~sh\ntest -e x\n~~~\n", "README.md:7: exit status 1"},
		"no folder before":                {"<!-- run on -->\n~~~sh\ntrue\n~~~\n", "README.md:3: no block before this one"},
		"no such test":                    {"`TestNone`\n", "README.md:1: there is no test TestNone"},
		"a part of the name of a test":    {"`TestGreet`\n", "there is no test TestGreet"},
		"no such test to run":             {"`go test -run 'TestGreet\\|TestNone' .`\n", "there is no test TestNone"},
		"no such test in a module":        {"`go -C x test -run TestNone .`\n", "there is no test TestNone"},
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

func TestCommandsThatHang(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- block{text: "sleep 1000 &\necho $! >pid\nwait\n"}.run(ctx, dir) }()
	var pid int
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "pid"))
		n, err := fmt.Sscan(string(text), &pid)
		return n == 1 && err == nil
	}, time.Minute, 10*time.Millisecond)
	cancel()
	assert.Error(t, <-done)
	assert.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, time.Minute, 10*time.Millisecond, "it has left a process behind")
}

func TestMarkersAreForTheNextLine(t *testing.T) {
	_, err := check(t, "<!-- not compiled: a sketch -->\n\n~~~go\nx.y()\n~~~\n")
	assert.ErrorContains(t, err, "README.md:4: a fragment needs a marker")
	_, err = check(t, "<!-- not compiled: a sketch -->\n~~~sh\ngo vet ./...\n~~~\n~~~go\nx.y()\n~~~\n")
	assert.ErrorContains(t, err, "README.md:6: a fragment needs a marker")
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
