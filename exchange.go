package apig

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
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
	req := c.rest.R().SetContext(httptrace.WithClientTrace(ctx, &w.trace))
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
// was sent: a request that is still waiting for its connection cannot have
// been. Once it has one it may have been sent, whatever the error says. A
// transport that does not report its progress, such as a mock, proves nothing.
//
// That headers were written would be a later mark, but another goroutine writes
// them: a request whose context has just ended can be written after net/http
// has returned.
//
// net/http itself takes a request to another connection only if it was not
// sent on the first, so a later GetConn takes an earlier GotConn back.
type wire struct {
	trace   httptrace.ClientTrace
	waiting atomic.Bool
}

func newWire() *wire {
	w := &wire{}
	w.trace.GetConn = func(string) { w.waiting.Store(true) }
	w.trace.GotConn = func(httptrace.GotConnInfo) { w.waiting.Store(false) }
	return w
}

// maySend reports whether the request may have been sent, or may still be.
func (w *wire) maySend() bool { return !w.waiting.Load() }
