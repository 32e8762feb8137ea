package wire_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/wire"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestMaySend(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/silent":
			panic(http.ErrAbortHandler)
		case "/announces":
			w.WriteHeader(http.StatusEarlyHints)
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	answering, refusing := &http.Transport{}, &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: io.ErrClosedPipe}
	}}
	defer answering.CloseIdleConnections()
	for name, tt := range map[string]struct {
		transport http.RoundTripper
		path      string
		may       bool
		again     bool // net/http gets the body a second time
	}{
		"a request that was answered":      {answering, "", true, true},
		"a connection that was refused":    {refusing, "", false, true},
		"a transport that reports nothing": {roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }), "", true, true},
		"a transport that tries again, and then gets no connection": {roundTripper(func(r *http.Request) (*http.Response, error) {
			if resp, err := answering.RoundTrip(r.Clone(r.Context())); err == nil {
				_ = resp.Body.Close()
			}
			return refusing.RoundTrip(r)
		}), "/silent", true, false},
		"a request that was not answered":      {answering, "/silent", true, false},
		"a request whose answer was announced": {answering, "/announces", true, false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+tt.path, strings.NewReader("{}"))
		require.NoError(t, err)
		var w wire.Watch
		w.Follow(r)
		_, err = r.GetBody()
		require.NoError(t, err)
		if resp, err := tt.transport.RoundTrip(r); err == nil {
			require.NoError(t, resp.Body.Close())
		}
		assert.Equal(t, tt.may, w.MaySend(), name)
		_, err = r.GetBody()
		assert.Equal(t, tt.again, err == nil, name)
	}
}
