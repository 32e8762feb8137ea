// Package wire follows one HTTP request through net/http, to prove that nothing
// of it was sent, and to keep net/http from sending it a second time.
package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// Watch follows one request. What it proves is that nothing was sent: a request
// that has waited for a connection and never got one cannot have been. Once it
// had one it may have been sent, whatever the error says and whatever came after.
// A transport that does not report its progress, such as a mock, proves nothing.
//
// That headers were written would be a later mark, but another goroutine writes
// them: a request whose context has just ended can be written after net/http
// has returned.
//
// A Watch is the context of its request. The requests that getting the credentials
// for it may take are none of its business: they need Untraced.
type Watch struct {
	context.Context // that reports to trace
	untraced        context.Context
	trace           httptrace.ClientTrace

	mu    sync.Mutex
	asked bool     // for a connection
	got   bool     // one
	conn  net.Conn // the latest
	wrote bool     // all of the request, though over HTTP/1 perhaps not further than to a buffer
}

// Begin makes w, which is new, the context of one request, out of another one.
func (w *Watch) Begin(ctx context.Context) {
	w.untraced = ctx
	w.trace.GetConn = w.getConn
	w.trace.GotConn = w.gotConn
	w.trace.WroteRequest = w.wroteRequest
	w.Context = httptrace.WithClientTrace(ctx, &w.trace)
}

func (w *Watch) getConn(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = true
}

func (w *Watch) gotConn(i httptrace.GotConnInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got, w.conn = true, i.Conn
}

func (w *Watch) wroteRequest(i httptrace.WroteRequestInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote = w.wrote || i.Err == nil
}

// MaySend reports whether the request may have been sent, or may still be.
func (w *Watch) MaySend() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got || !w.asked
}

// sent reports whether all of the request was sent over HTTP/2. Over HTTP/1
// net/http takes care of that itself. The caller holds w.mu.
func (w *Watch) sent() bool {
	conn, ok := w.conn.(*tls.Conn) // as it always is with HTTP/2
	return w.wrote && ok && conn.ConnectionState().NegotiatedProtocol == "h2"
}

type contextKey struct{}

// Value is the value of the context, in which Of finds the Watch.
func (w *Watch) Value(key any) any {
	if key == (contextKey{}) {
		return w
	}
	return w.Context.Value(key)
}

// Of returns the Watch that follows a request, or nil.
func Of(r *http.Request) *Watch {
	w, _ := r.Context().Value(contextKey{}).(*Watch)
	return w
}

// Untraced is the context that the Watch was made of, which does not report to it.
func (w *Watch) Untraced() context.Context { return w.untraced }

// Guard keeps net/http from sending the complete request r again on its own once
// it was sent, which only the caller can tell to be harmless. Over HTTP/1 it
// never does. Over HTTP/2 it does, for as long as the context lasts, where the
// server has reset the stream with PROTOCOL_ERROR: which proves nothing. A
// request that was not sent yet may change connections, and so may a GET, which
// has no GetBody; resty gives one to a DELETE.
func (w *Watch) Guard(r *http.Request) {
	if r.GetBody == nil {
		return
	}
	again := r.GetBody
	r.GetBody = func() (io.ReadCloser, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.sent() {
			return nil, errSent
		}
		return again()
	}
}

// errSent is what net/http reports in place of the reason that it had.
var errSent = errors.New("the server has reset the request after it was sent")
