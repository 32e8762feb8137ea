package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The server test starts this program as the server.
func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		os.Exit(serve(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	names := func(args ...string) []string {
		s, err := parse(args, io.Discard)
		require.NoError(t, err)
		var names []string
		for _, p := range s.parts {
			names = append(names, p.name)
		}
		return names
	}
	assert.Equal(t, []string{"allocations", "cpu", "loopback", "memory", "footprint"}, names())
	assert.Equal(t, []string{"allocations", "memory", "footprint"}, names("-check"))
	assert.Equal(t, []string{"cpu", "memory"}, names("-quick", "-part", "memory,cpu"))
	for _, args := range []string{"-part=nothing", "-part=cpu,", "-check -part=cpu", "-calls=3"} {
		_, err := parse(strings.Fields(args), io.Discard)
		assert.Error(t, err, args)
	}
}

// All clients do their work against the stub: groups runs each of them once.
func TestGroups(t *testing.T) {
	all, err := groups()
	require.NoError(t, err)
	cells := map[place]bool{}
	for _, g := range all {
		for _, w := range g.work {
			cells[place{w.row, w.column}] = true
		}
	}
	for _, column := range columns {
		assert.True(t, cells[place{rowPublish, column}], column)
		assert.True(t, cells[place{rowRefused, column}], column)
	}
}

// The clients that are said to be as safe as ours do not take everything for a record.
func TestSafeClientsCheckTheRecord(t *testing.T) {
	for _, c := range clients {
		if c.column != colSafe && c.column != colTuned {
			continue
		}
		for name, answer := range map[string]string{
			"another API": recordOf("0" + apiID[1:]),
			"no version":  strings.Replace(recordOf(apiID), "version_id", "version", 1),
			"no JSON":     "<html>",
		} {
			do, err := c.connect(gateway{stubURL, newFixedStub(http.StatusCreated, answer)})
			require.NoError(t, err)
			assert.Error(t, do(t.Context(), apiID), "%s: %s", c.column, name)
		}
	}
}

func TestAllocationsAreExact(t *testing.T) {
	var kept [][]byte
	objects, bytes, err := allocations(100, func() error {
		kept = append(kept[:0], make([]byte, 64), make([]byte, 1024))
		return nil
	})
	require.NoError(t, err)
	assert.InDelta(t, 2, objects, 0.05)
	assert.InDelta(t, 64+1024, bytes, 20)
}

func TestAnswer(t *testing.T) {
	ask := func(path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		answer(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		return w
	}
	one := ask(actionPath, `{"action":"online","api_id":"`+distinctID(7)+`"}`)
	assert.Equal(t, http.StatusCreated, one.Code)
	assert.Equal(t, recordOf(distinctID(7)), one.Body.String())
	many := ask(basePath+"/apis/publish", `{"apis":["a","b"]}`)
	assert.Equal(t, http.StatusOK, many.Code)
	assert.Equal(t, batchOf([]string{"a", "b"}), many.Body.String())
	assert.Equal(t, http.StatusBadRequest, ask(basePath+"/apis/publish", `{`).Code)
}

// The server in another process counts what it accepts, and ends when it is told to.
func TestServer(t *testing.T) {
	s, err := startServer(t.Context())
	require.NoError(t, err)
	transport := newTransport()
	defer transport.CloseIdleConnections()
	do, err := connectSafe(shortTokenBytes)(gateway{s.url, transport})
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, do(t.Context(), apiID))
	}
	accepted, err := s.accepted()
	require.NoError(t, err)
	assert.Equal(t, 1, accepted, "the connection is used again")
	require.NoError(t, s.stop())
	_, err = s.accepted()
	assert.Error(t, err)
}
