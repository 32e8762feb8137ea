package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each client gets the result that it should have: workloads makes each call once.
func TestWorkloads(t *testing.T) {
	all, err := workloads(t.Context())
	require.NoError(t, err)
	for _, w := range all {
		assert.Equal(t, byHand, all[w.base].column, w.row)
	}
}

// The clients that are said to be as safe as ours do not take everything for a record.
func TestSafeClientsCheckTheRecord(t *testing.T) {
	for _, column := range []int{byHand, restyTuned} {
		for name, answer := range map[string]string{
			"another API": recordOf("0" + apiID[1:]),
			"no version":  strings.Replace(recordOf(apiID), "version_id", "version", 1),
			"no JSON":     "<html>",
		} {
			client, err := connect[column](newStub(http.StatusCreated, answer), token(60))
			require.NoError(t, err)
			assert.Error(t, client.one(t.Context(), apiID), "%s: %s", columnNames[column], name)
		}
	}
}

func TestAllocationsAreExact(t *testing.T) {
	var kept [][]byte
	objects, size, err := allocations(100, func() error {
		kept = append(kept[:0], make([]byte, 64), make([]byte, 1024))
		return nil
	})
	require.NoError(t, err)
	assert.InDelta(t, 2, objects, 0.05)
	assert.InDelta(t, 64+1024, size, 20)
}

func TestLines(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.go": "package a\n\nvar A int\n", "a_test.go": "package a\n", "LICENSE": "not Go\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	modules, lines, err := linesOf([]string{"github.com/own/a " + dir, "github.com/own/a " + dir, "github.com/owner/b " + dir, ""}, "github.com/own")
	require.NoError(t, err)
	assert.Equal(t, []int{2, 6}, []int{modules, lines}, "a path that begins alike is another's")
}

func TestBudgets(t *testing.T) {
	most := budget{row: "a", limit: 4}
	held := budget{row: "a", limit: 4, held: 6}
	for name, tt := range map[string]struct {
		budget  budget
		value   float64
		verdict string
		fails   bool
	}{
		"within":                 {most, 4, "met", false},
		"above":                  {most, 4.1, "**missed**", true},
		"missed, and held":       {held, 5.5, "**missed**", false},
		"missed, and worse":      {held, 6.1, "**missed**", true},
		"of the machine's speed": {budget{row: "a", limit: 1, timed: true}, 9, "**missed**", false},
		"not measured":           {budget{row: "b", limit: 9}, 1, "met", true},
	} {
		var results table
		results.set("a", ours, tt.value, "")
		var out strings.Builder
		assert.Equal(t, tt.verdict, tt.budget.verdict(tt.value), name)
		assert.Equal(t, tt.fails, results.check(&out, []budget{tt.budget}) != nil, "%s: %s", name, &out)
	}
}

func TestNumber(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 41: "41", 41.02: "41", 41.5: "41.5", 0.954: "0.95", 999.7: "1,000", 1234567: "1,234,567"} {
		assert.Equal(t, want, number(value))
	}
}
