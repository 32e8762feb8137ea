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

// TestMain starts this program as the server, too.
func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		serve()
		return
	}
	os.Exit(m.Run())
}

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
			client, err := connect[column](setup{stubURL, newStub(http.StatusCreated, answer), token(60)})
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

// The server in another process answers, and ends when it is told to.
func TestServer(t *testing.T) {
	url, stop, err := startServer(t.Context())
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	client, err := connectByHand(setup{url, transport, token(60)})
	require.NoError(t, err)
	assert.NoError(t, client.one(t.Context(), apiID))
	stop()
	assert.Error(t, client.one(t.Context(), apiID))
}

func TestVendoredLines(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"github.com/own/a/a.go":   "package a\n\nvar A int\n",
		"github.com/own/LICENSE":  "not Go\n",
		"github.com/owner/b/b.go": "package b\n",
	} {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	own, all, err := vendoredLines(root, "github.com/own")
	require.NoError(t, err)
	assert.Equal(t, 3, own, "a path that begins alike is another's")
	assert.Equal(t, 4, all)
}

func TestBudgets(t *testing.T) {
	most, least := budget{row: "a", limit: 4, aim: 3}, budget{row: "a", limit: 0.9, aim: 1, least: true}
	for value, want := range map[float64]string{3: "aim met", 3.5: "met", 4: "met", 4.1: "**missed**"} {
		assert.Equal(t, want, most.verdict(value), value)
	}
	for value, want := range map[float64]string{1: "aim met", 0.95: "met", 0.89: "**missed**"} {
		assert.Equal(t, want, least.verdict(value), value)
	}
	held := most
	held.held = 6
	for name, tt := range map[string]struct {
		budget budget
		value  float64
		fails  bool
	}{
		"within":                 {most, 4, false},
		"above":                  {most, 4.1, true},
		"missed, and held":       {held, 5.5, false},
		"missed, and worse":      {held, 6.1, true},
		"of the machine's speed": {budget{row: "a", limit: 1, timed: true}, 9, false},
		"not measured":           {budget{row: "b", limit: 9}, 1, true},
	} {
		var results table
		results.set("a", ours, tt.value, "")
		var out strings.Builder
		assert.Equal(t, tt.fails, results.check(&out, []budget{tt.budget}) != nil, "%s: %s", name, &out)
	}
}

func TestNumber(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 41: "41", 41.02: "41", 41.5: "41.5", 0.954: "0.95", 999.7: "1,000", 1234567: "1,234,567"} {
		assert.Equal(t, want, number(value))
	}
}
