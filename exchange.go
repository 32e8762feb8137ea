package apig

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/go-resty/resty/v2"

	"github.com/apig-go/apig/internal/wire"
)

// bodyGrace is how long after its context a body has to end on its own.
const bodyGrace = 50 * time.Millisecond

// request is what goes over the wire, the same in each attempt.
type request struct {
	method string
	path   string      // below the base of the service, escaped, with its query
	url    string      // the whole address, where it is the same in each call; instead of path
	header http.Header // besides the usual ones; or nil
	body   []byte
	secret string // in the body, to be kept out of errors; or empty
	bound  int    // of the answer, in bytes; zero means maxBody
}

func (r *request) address(base string) string {
	if r.url != "" {
		return r.url
	}
	return base + r.path
}

// attempt is all that one attempt needs, in one piece.
type attempt struct {
	watch wire.Watch
	sent  resty.Request
	body  bytes.Reader
	answer
}

// exchange sends one request and reads its answer, all within the time of one
// attempt. It reports whether any of the request may have left. The answer is
// never nil, but holds only the request, perhaps, if there is an error.
func (s *service) exchange(ctx context.Context, r *request) (a *answer, sent bool, err error) {
	start := time.Now()
	ctx, cancel := context.WithDeadline(ctx, start.Add(s.timeout))
	defer cancel()
	now := &attempt{sent: *s.blank, answer: answer{start: start, secret: r.secret}}
	now.watch.Begin(ctx)
	now.sent.Header = s.reading
	if r.body != nil {
		now.body.Reset(r.body) // of a []byte resty would make two copies
		now.sent.Body, now.sent.Header = &now.body, s.sending
	}
	if r.header != nil || r.body == nil && r.method != http.MethodGet { // for which resty adds a Content-Type
		now.sent.Header = now.sent.Header.Clone()
		maps.Copy(now.sent.Header, r.header)
	}
	resp, err := now.sent.SetContext(&now.watch).Execute(r.method, r.address(s.base))
	a = &now.answer
	a.request = now.sent.RawRequest
	if err != nil {
		sent = !errors.As(err, new(*authError)) && now.watch.MaySend()
		if !sent {
			err = refusedByProxy(s.transport(), a.request, err)
		}
		return a, sent, err
	}
	a.arrived, a.status, a.header = resp.ReceivedAt(), resp.StatusCode(), resp.Header()
	bound := maxBody
	if a.status < 300 {
		bound = cmp.Or(r.bound, maxBody)
	}
	a.body, a.broken = readBody(ctx, resp.RawResponse, bound)
	return a, true, nil
}

// textOf is the text of an error of net/http, with the address as it was asked
// for: an Authenticator may have put a credential into the query.
func (s *service) textOf(err error, r *request) string {
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Sprintf("%s %q: %v", failed.Op, r.address(s.base), failed.Err)
	}
	return err.Error()
}

// readBody reads and closes the body of r, up to bound bytes, until ctx ends.
func readBody(ctx context.Context, r *http.Response, bound int) ([]byte, error) {
	if obeysContext(r.Body) {
		return readAll(r, bound)
	}
	// Nobody knows whether the body of a foreign transport obeys the context. One
	// that does not is closed, which ends the reading if it obeys that, and left
	// behind.
	type result struct {
		body     []byte
		err      error
		panicked any
	}
	done := make(chan result, 1)
	go func() {
		read := result{err: io.ErrUnexpectedEOF} // if it ends in runtime.Goexit
		defer func() {
			read.panicked = recover()
			done <- read
		}()
		read.body, read.err = readAll(r, bound)
	}()
	var late <-chan time.Time
	ended := ctx.Done()
	for {
		select {
		case read := <-done:
			if read.panicked != nil {
				panic(read.panicked) // where the caller can recover from it
			}
			return read.body, read.err
		case <-ended:
			ended, late = nil, time.After(bodyGrace)
		case <-late:
			go r.Body.Close()
			return nil, ctx.Err()
		}
	}
}

// obeysContext reports whether reading the body ends with the context of its
// request, or takes no time: it is of net/http's own transport, or lies in memory,
// as its knowing its length shows. Other types of net/http, such as that of a
// client with a Timeout, may have a foreign body inside.
func obeysContext(body io.ReadCloser) bool {
	if _, inMemory := body.(interface{ Len() int }); inMemory {
		return true
	}
	t := reflect.TypeOf(body)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Name() {
	case "bodyEOFSignal", "gzipReader", "http2transportResponseBody", "http2gzipReader", "noBody", "http2noBodyReader":
		return t.PkgPath() == "net/http"
	}
	return false
}

func readAll(r *http.Response, bound int) ([]byte, error) {
	defer r.Body.Close()
	if r.StatusCode == http.StatusSwitchingProtocols {
		// What net/http calls the body then is the bare connection, which has
		// no end and does not know the context.
		return nil, nil
	}
	if n := r.ContentLength; n > 0 && n <= maxDrain {
		body := make([]byte, n)
		got, err := io.ReadFull(r.Body, body)
		return body[:got], err
	}
	var body bytes.Buffer // which doubles, and so makes less to throw away than io.ReadAll
	_, err := body.ReadFrom(io.LimitReader(r.Body, int64(bound)))
	if err == nil && body.Len() == bound {
		if n, _ := io.CopyN(io.Discard, r.Body, maxDrain); n > 0 {
			err = fmt.Errorf("it is longer than %d bytes", bound)
		}
	}
	return body.Bytes(), err
}
