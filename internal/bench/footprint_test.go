package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVendoredLines(t *testing.T) {
	b := site{program: program{vendor: "github.com/own"}, dir: t.TempDir()}
	own, others, err := b.vendoredLines()
	require.NoError(t, err)
	assert.Zero(t, own+others, "a program that vendors nothing")

	for path, text := range map[string]string{
		"github.com/own/a/a.go":   "package a\n\nvar A int\n",
		"github.com/own/LICENSE":  "not Go\n",
		"github.com/owner/b/b.go": "package b\n",
		"modules.txt":             "# github.com/own\n",
	} {
		path = filepath.Join(b.dir, "vendor", path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	own, others, err = b.vendoredLines()
	require.NoError(t, err)
	assert.Equal(t, 3, own)
	assert.Equal(t, 1, others, "a path that begins alike is another's")
}

func TestInitLines(t *testing.T) {
	found := initLine.FindAllStringSubmatch(`init internal/bytealg @0.004 ms, 0 ms clock, 0 bytes, 0 allocs
init github.com/apig-go/apig @0.69 ms, 0.012 ms clock, 1,024 bytes, 7 allocs
init github.com/apig-go/apig @0.69 ms, 0.012 ms clock, 1024 bytes, 7 allocs
Endpoint is empty
`, -1)
	require.Len(t, found, 2)
	assert.Equal(t, []string{"github.com/apig-go/apig", "0.012", "7"}, found[1][1:])
}

// A program uses the client whose lines are counted as its own.
func TestProgramsHaveTheirColumn(t *testing.T) {
	for _, p := range programs {
		assert.Contains(t, columns, p.column)
		if p.vendor != "" {
			assert.Contains(t, p.source, `"`+p.vendor+"/")
		}
	}
}
