package apig

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// Bounds of what is read of an answer, in bytes; lists and batches have the
// larger one. Up to maxDrain more are read and dropped, for then the connection
// can be used again.
const (
	maxBody  = 1 << 20
	maxList  = 8 << 20
	maxDrain = 64 << 10
)

// request is what goes over the wire, the same in each attempt.
type request struct {
	method string
	path   string      // below the gateway, escaped, with its query
	header http.Header // besides the usual ones; or nil
	body   []byte
	secret string // in the body, to be kept out of errors; or empty
	bound  int    // of the answer, in bytes; zero means maxBody
}

// answer is what came back, read to its end or to the bounds.
type answer struct {
	request *http.Request // as it was sent
	start   time.Time     // of the attempt
	secret  string        // that its body held, or empty
	status  int
	header  http.Header
	arrived time.Time // of its header
	body    []byte
	broken  error // why the body is not whole, or nil
}

func (a *answer) requestID() string {
	return a.text(a.header.Get("X-Request-Id"), maxRequestID)
}

// exchange sends one request and reads its answer, all within the time of one
// attempt. It reports whether any of the request may have left. The answer is
// never nil, but holds only the request, perhaps, if there is an error.
func (c *Client) exchange(ctx context.Context, r request) (*answer, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	w := newWire()
	req := c.rest.R().SetContext(context.WithValue(ctx, wireKey{}, w))
	if r.body != nil {
		req.SetHeader("Content-Type", "application/json;charset=UTF-8").SetBody(bytes.NewReader(r.body))
	} else {
		req.SetHeader("Cache-Control", "no-cache")
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	resp, err := req.Execute(r.method, c.base+r.path)
	a := &answer{request: req.RawRequest, secret: r.secret}
	if err != nil {
		return a, !errors.As(err, new(*authError)) && w.maySend(), err
	}
	a.arrived = time.Now()
	a.status, a.header = resp.StatusCode(), resp.Header()
	a.body, a.broken = readBody(resp.RawResponse, cmp.Or(r.bound, maxBody))
	return a, true, nil
}

// readBody reads and closes the body of r, up to bound bytes.
func readBody(r *http.Response, bound int) ([]byte, error) {
	defer r.Body.Close()
	if n := r.ContentLength; n > 0 && n <= maxDrain {
		body := make([]byte, n)
		got, err := io.ReadFull(r.Body, body)
		return body[:got], err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(bound)))
	if err == nil && len(body) == bound {
		if n, _ := io.CopyN(io.Discard, r.Body, maxDrain); n > 0 {
			err = fmt.Errorf("it is longer than %d bytes", bound)
		}
	}
	return body, err
}

// wire follows one request through net/http. What it proves is that nothing
// was sent: a request that has waited for a connection and never got one cannot
// have been. Once it had one it may have been sent, whatever the error says and
// whatever came after. A transport that does not report its progress, such as a
// mock, proves nothing.
//
// That headers were written would be a later mark, but another goroutine writes
// them: a request whose context has just ended can be written after net/http
// has returned.
type wire struct {
	trace httptrace.ClientTrace

	mu    sync.Mutex
	asked bool     // for a connection
	got   bool     // one
	conn  net.Conn // the latest
	wrote bool     // all of the request, though over HTTP/1 perhaps not further than to a buffer
}

func newWire() *wire {
	w := &wire{}
	w.trace.GetConn = func(string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = true
	}
	w.trace.GotConn = func(i httptrace.GotConnInfo) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got, w.conn = true, i.Conn
	}
	w.trace.WroteRequest = func(i httptrace.WroteRequestInfo) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wrote = w.wrote || i.Err == nil
	}
	return w
}

// maySend reports whether the request may have been sent, or may still be.
func (w *wire) maySend() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got || !w.asked
}

// sent reports whether all of the request was sent over HTTP/2. Over HTTP/1
// net/http takes care of that itself. The caller holds w.mu.
func (w *wire) sent() bool {
	conn, ok := w.conn.(*tls.Conn) // as it always is with HTTP/2
	return w.wrote && ok && conn.ConnectionState().NegotiatedProtocol == "h2"
}

// wireKey finds the wire of a request in its context.
type wireKey struct{}

// follow has its wire follow r, which has its credentials by now: the requests
// that getting them may have taken, in a context made of this one's, are none of
// the wire's business.
//
// It also keeps net/http from sending r again on its own once it was sent, which
// only this package can tell to be harmless. Over HTTP/1 it never does. Over
// HTTP/2 it does, for as long as the context lasts, where the server has reset
// the stream with PROTOCOL_ERROR: which proves nothing. A request that was not
// sent yet may change connections, and so may a GET, which has no GetBody; resty
// gives one to a DELETE.
func follow(r *http.Request) {
	w, ok := r.Context().Value(wireKey{}).(*wire)
	if !ok {
		return
	}
	*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &w.trace))
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
