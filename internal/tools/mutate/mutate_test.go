package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apig-go/apig/internal/tools/source"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const scale = "testdata/scale"

func TestMutants(t *testing.T) {
	p, err := source.Load(scale)
	require.NoError(t, err)
	all, err := mutants(p, []string{"shapes.go"})
	require.NoError(t, err)
	var got []string
	for _, m := range all {
		got = append(got, strings.TrimPrefix(m.key, "shapes.go text.shape: "))
	}
	assert.ElementsMatch(t, []string{
		`!a || strings.Contains(string(*t), "x") -> !a && strings.Contains(string(*t), "x")`,
		`!a -> a`,
		`strings.Contains(string(*t), "x") -> !strings.Contains(string(*t), "x")`,
		`removed: return "", false`,
		`false -> true in: return "", false`,
		`b -> !b in: case b, len(list) >= 3:`,
		`len(list) >= 3 -> len(list) > 3`,
		`len(list) >= 3 -> len(list) < 3`,
		`3 -> 2 in: case b, len(list) >= 3:`,
		`removed: *t += "y"`,
		`removed: return *t, true`,
		`true -> false in: return *t, true`,
		`1 -> 2 in: out := make([]int, 1, 64)`,
		`1 -> 0 in: out := make([]int, 1, 64)`,
		`n == 0 -> n != 0`,
		`0 -> 1 in: if n == 0 {`,
		`0 -> -1 in: if n == 0 {`,
		`removed: continue`,
		`removed: out[0] += n * i`,
		`out[0] += n * i -> out[0] -= n * i`,
		`0 -> 1 in: out[0] += n * i`,
		`0 -> -1 in: out[0] += n * i`,
		`n * i -> n / i`,
		`removed: copy(list, out)`,
		`0 -> 1 in: return *t + "z", list[0] > 0x10`,
		`0 -> -1 in: return *t + "z", list[0] > 0x10`,
		`list[0] > 0x10 -> list[0] >= 0x10`,
		`list[0] > 0x10 -> list[0] <= 0x10`,
		`0x10 -> 17 in: return *t + "z", list[0] > 0x10`,
	}, got)
}

func TestMutantsOfAFileThatIsNotThere(t *testing.T) {
	p, err := source.Load(scale)
	require.NoError(t, err)
	_, err = mutants(p, []string{"scale.go", "scales.go"})
	assert.EqualError(t, err, "no such file in the package: scales.go")
}

func TestApply(t *testing.T) {
	src := []byte("a < b")
	assert.Equal(t, "a <= b", string(mutant{start: 0, end: 5, text: "a <= b"}.apply(src)))
	assert.Equal(t, "a < b", string(src))
}

const survivors = `# Small is tested far from its bound.
scale.go Small: n < 100 -> n <= 100
	TestSmall asks for 0 and 1000
scale.go Small: 100 -> 99 in: func Small(n int) bool { return n < 100 }
	the same
`

func TestRun(t *testing.T) {
	before, err := os.ReadFile(filepath.Join(scale, "scale.go"))
	require.NoError(t, err)
	list := filepath.Join(t.TempDir(), "explained.txt")
	require.NoError(t, os.WriteFile(list, []byte(survivors), 0o600))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-explained", list, "-timeout", "15s", scale, "scale.go"}, &out))
	// One never ends, and only the limit kills it.
	assert.Equal(t, "10 mutants, at most 15s for the tests of each\n"+
		"10 mutants: 8 killed, 1 of them by the time limit; 2 survived, 2 of them for a known reason; 0 more do not compile\n"+
		"score: 80.0 %\n", out.String())
	after, err := os.ReadFile(filepath.Join(scale, "scale.go"))
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

func TestOnly(t *testing.T) {
	list := filepath.Join(t.TempDir(), "explained.txt")
	require.NoError(t, os.WriteFile(list, []byte(survivors), 0o600))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-explained", list, "-only", "^scale.go Small: n", scale}, &out))
	assert.Contains(t, out.String(), "\n2 mutants: 1 killed, 0 of them by the time limit; 1 survived, 1 of them for a known reason")
	assert.EqualError(t, run(t.Context(), []string{"-only", "Big", scale}, &out), "no mutants")
}

// The tests of the first files run before all others, which see what those do not.
func TestFirst(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(scale, "scale.go"))
	require.NoError(t, err)
	small := bytes.Replace(src, []byte("n < 100"), []byte("n >= 100"), 1)
	both := bytes.Replace(small, []byte("n != 3"), []byte("n != 4"), 1)
	for _, r := range []struct {
		first []string
		src   []byte
		want  verdict
		test  string // that fails
	}{
		{nil, both, killed, "TestSmall"},
		{[]string{"wait_test.go"}, both, killed, "TestWait"},
		{[]string{"wait_test.go"}, small, killed, "TestSmall"},
		{[]string{"wait_test.go"}, src, survived, "PASS"},
	} {
		s := suite{dir: scale, scratch: t.TempDir(), first: r.first, timeout: time.Minute}
		got, out, err := s.test(t.Context(), "scale.go", r.src)
		require.NoError(t, err)
		assert.Equal(t, r.want, got)
		assert.Contains(t, string(out), r.test)
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out, counts: make(map[verdict]int), explained: map[string]string{
		"a.go F: x < 7 -> x <= 7": "never 7",
		"a.go F: !b -> b":         "never true",
		"b.go G: !c -> c":         "not tried",
	}}
	open := mutant{file: "a.go", line: 3, key: "a.go F: removed: return"}
	r.add(mutant{file: "a.go", key: "a.go F: x < 7 -> x <= 7"}, survived)
	r.add(mutant{file: "a.go", key: "a.go F: !b -> b"}, killed)
	r.add(mutant{file: "a.go", key: "a.go F: 1 -> 2"}, late)
	r.add(mutant{file: "a.go", key: "a.go F: 1 -> 0"}, unbuilt)
	r.add(open, survived)

	assert.EqualError(t, r.end([]mutant{open}), "survived for no known reason: 1\n"+
		"explained, but it does not survive (any more): a.go F: !b -> b")
	assert.Equal(t, "survived a.go:3 F: removed: return\n"+
		"4 mutants: 2 killed, 1 of them by the time limit; 2 survived, 1 of them for a known reason; 1 more do not compile\n"+
		"score: 50.0 %\n", out.String())
}

func TestRunNeedsTestsThatPass(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module example.com/red\n\ngo 1.25.0\n",
		"a.go":      "package red\n\nvar a = 1\n",
		"a_test.go": "package red\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Error(\"red with\", a) }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	err := run(t.Context(), []string{dir}, new(bytes.Buffer))
	assert.ErrorContains(t, err, "red with 1")
}

func TestParseExplained(t *testing.T) {
	got, err := parseExplained("# why\na.go F: 1 -> 2\n\tsome\n\twords\n\nb.go G: !a -> a\n  more\n")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a.go F: 1 -> 2": "some words", "b.go G: !a -> a": "more"}, got)

	for name, text := range map[string]string{
		"no mutant":            "\ta reason\n",
		"no reason":            "a.go F: 1 -> 2\nb.go G: !a -> a\n\tyes\n",
		"no reason at the end": "a.go F: 1 -> 2\n",
		"twice":                "a.go F: 1 -> 2\n\tyes\na.go F: 1 -> 2\n\tyes\n",
	} {
		_, err := parseExplained(text)
		assert.Error(t, err, name)
	}
}
