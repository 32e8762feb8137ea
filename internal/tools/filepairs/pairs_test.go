package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/apig-go/apig/internal/tools/source"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const site = "testdata/site"

func TestPairs(t *testing.T) {
	p, err := source.Load(site)
	require.NoError(t, err)
	assert.Equal(t, []pair{
		{first: "garden.go", second: "road.go", firstUses: []string{"road"}, secondUses: []string{"grass"}},
		{
			first: "house.go", second: "roof.go",
			firstUses:  []string{".tiles", "Roof", "Roof.cover"},
			secondUses: []string{".Rooms", "House", "rooms"},
		},
	}, pairs(p), "road.go uses house.go alone, and tests do not count")
}

func TestUses(t *testing.T) {
	p, err := source.Load(site)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"largest": true, "rooms": true}, uses(p)[way{"road.go", "house.go"}])
	assert.Empty(t, uses(p)[way{"road.go", "roof.go"}], "a local variable by the name of a field")
}

const report = `    6  garden.go
   19  house.go
    9  road.go
    6  roof.go
   40  lines in 4 files; pairs that use each other: 2

garden.go road.go  no road without a garden
	garden.go uses road
	road.go uses grass

house.go roof.go  shelter
	house.go uses .tiles, Roof, Roof.cover
	roof.go uses .Rooms, House, rooms
`

func TestRun(t *testing.T) {
	const allowed = "garden.go road.go  no road without a garden\nhouse.go roof.go  shelter\n"
	for name, c := range map[string]struct{ allowed, fault string }{
		"pairs with a reason":     {allowed, ""},
		"pairs without":           {"", "garden.go and road.go use each other, and no reason is given\nhouse.go and roof.go use each other, and no reason is given"},
		"a pair that is no more":  {allowed + "house.go road.go  it stood beside it\n", "house.go and road.go do not use each other"},
		"a reason that is absent": {"house.go roof.go\n", "line 1: want two files and a reason"},
	} {
		t.Run(name, func(t *testing.T) {
			list := filepath.Join(t.TempDir(), "allowed.txt")
			require.NoError(t, os.WriteFile(list, []byte(c.allowed), 0o600))
			var out bytes.Buffer
			err := run([]string{"-allow", list, site}, &out)
			if c.fault == "" {
				require.NoError(t, err)
				assert.Equal(t, report, out.String())
				return
			}
			assert.ErrorContains(t, err, c.fault)
		})
	}
}

func TestRunRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		fault string
	}{
		"pairs without a list":     {[]string{site}, "no reason is given"},
		"no directory":             {nil, "say which directory"},
		"a directory that is none": {[]string{filepath.Join(site, "none")}, "none"},
		"a list that is none":      {[]string{"-allow", filepath.Join(site, "none.txt"), site}, "none.txt"},
		"an unknown flag":          {[]string{"-all", site}, "-all"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorContains(t, run(c.args, new(bytes.Buffer)), c.fault)
		})
	}
}

func TestParseReasons(t *testing.T) {
	got, err := parseReasons("# why\n\na.go b.go  one needs the other\n")
	require.NoError(t, err)
	assert.Equal(t, reasons{{"a.go", "b.go"}: "one needs the other"}, got)

	for text, fault := range map[string]string{
		"b.go a.go  reason\n":                    "line 1: want b.go and a.go in alphabetical order",
		"a.go a.go  reason\n":                    "line 1: want a.go and a.go in alphabetical order",
		"a.go b.go  reason\na.go b.go  reason\n": "line 2: a.go and b.go are there already",
		"\n# a list\na.go b.go\n":                "line 3: want two files and a reason",
	} {
		_, err := parseReasons(text)
		assert.EqualError(t, err, fault)
	}
	one, err := parseReasons("a.go b.go  why\n")
	require.NoError(t, err)
	assert.Equal(t, reasons{{"a.go", "b.go"}: "why"}, one)
}
