package wire_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/wire"
)

func begin(ctx context.Context) *wire.Watch {
	w := &wire.Watch{}
	w.Begin(ctx)
	return w
}

func send(t *testing.T, transport http.RoundTripper, url string) *wire.Watch {
	t.Helper()
	w := begin(t.Context())
	r, err := http.NewRequestWithContext(w, http.MethodPost, url, strings.NewReader("{}"))
	require.NoError(t, err)
	wire.Of(r).Guard(r)
	if resp, err := transport.RoundTrip(r); err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	return w
}

func TestMaySend(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()

	t.Run("a request that was answered", func(t *testing.T) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		assert.True(t, send(t, transport, server.URL).MaySend())
	})
	t.Run("a connection that was refused proves that nothing was sent", func(t *testing.T) {
		refuse := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: io.ErrClosedPipe}
		}}
		assert.False(t, send(t, refuse, server.URL).MaySend())
	})
	t.Run("a transport that reports nothing proves nothing", func(t *testing.T) {
		silent := roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
		assert.True(t, send(t, silent, server.URL).MaySend())
	})
}

// The requests that getting the credentials takes have the context without the
// trace.
func TestFollowsOneRequestOnly(t *testing.T) {
	w := begin(t.Context())
	inner, err := http.NewRequestWithContext(w.Untraced(), http.MethodGet, "http://127.0.0.1:1", nil)
	require.NoError(t, err)
	refuse := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }}
	_, err = refuse.RoundTrip(inner)
	require.Error(t, err)
	assert.True(t, w.MaySend(), "what became of another request proves nothing")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Over HTTP/2 net/http repeats a request that the server has reset with
// PROTOCOL_ERROR, for as long as it gets a body for it.
func TestNoSecondBodyOnceSent(t *testing.T) {
	requests := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests++
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()

	// net/http reports the end of writing on a goroutine of its own, perhaps after
	// the answer, and to the Watch before it does so here.
	wrote := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(wrote) }})
	r, err := http.NewRequestWithContext(begin(ctx), http.MethodPost, server.URL, strings.NewReader("{}"))
	require.NoError(t, err)
	wire.Of(r).Guard(r)
	first, err := r.GetBody()
	require.NoError(t, err, "before it is sent it may change connections")
	require.NoError(t, first.Close())
	resp, err := server.Client().Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "HTTP/2.0", resp.Proto)
	<-wrote
	_, err = r.GetBody()
	assert.EqualError(t, err, "the server has reset the request after it was sent")
	assert.Equal(t, 1, requests)
}
