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
	"time"

	"github.com/go-resty/resty/v2"

	"github.com/apig-go/apig/internal/wire"
)

// request is a request as data, the same in each attempt.
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
	context.Context // of its request; it has the attempt under attemptKey

	watch wire.Watch
	keys  *pair // that have signed the request; or nil
	sent  resty.Request
	body  bytes.Reader
	answer
}

// attemptKey is the key of an attempt in the context of its request.
type attemptKey struct{}

func (now *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return now
	}
	return now.Context.Value(key)
}

// exchange sends one request and reads its answer, all within the time of one
// attempt. It reports whether any of the request may have left. The answer is
// never nil, but holds only the request, perhaps, if there is an error.
func (s *service) exchange(ctx context.Context, r *request) (a *answer, sent bool, err error) {
	start := time.Now()
	ctx, cancel := context.WithDeadline(ctx, start.Add(s.timeout))
	defer cancel()
	now := &attempt{Context: ctx, sent: *s.blank, answer: answer{start: start, secret: r.secret, address: r.address(s.base), transport: s.http.Transport}}
	defer now.tellKeys()
	now.sent.Header = s.reading
	if r.body != nil {
		now.body.Reset(r.body) // of a []byte resty would make two copies
		now.sent.Body, now.sent.Header = &now.body, s.sending
	}
	if r.header != nil || r.body == nil && r.method != http.MethodGet { // for which resty adds a Content-Type
		now.sent.Header = now.sent.Header.Clone()
		maps.Copy(now.sent.Header, r.header)
	}
	resp, err := now.sent.SetContext(now).Execute(r.method, now.address)
	a = &now.answer
	a.request = now.sent.RawRequest
	if err != nil {
		return a, !errors.As(err, new(*authError)) && now.watch.MaySend(), err
	}
	a.arrived, a.status, a.header = resp.ReceivedAt(), resp.StatusCode(), resp.Header()
	bound := maxBody
	if a.status < 300 {
		bound = cmp.Or(r.bound, maxBody)
	}
	a.body, a.broken = readBody(resp.RawResponse, bound)
	return a, true, nil
}

// textOf is the text of an error of net/http, with the address before the
// Authenticator has perhaps put a credential into its query.
func (s *service) textOf(err error, r *request) string {
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Sprintf("%s %q: %v", failed.Op, r.address(s.base), failed.Err)
	}
	return err.Error()
}

// readBody reads the body of r, up to bound bytes, and closes it.
func readBody(r *http.Response, bound int) ([]byte, error) {
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
	var body bytes.Buffer                                                               // which doubles, and so makes less to throw away than io.ReadAll
	body.Grow(int(min(max(r.ContentLength, 0), maxBody, int64(bound))) + bytes.MinRead) // an announced length is believed up to there
	_, err := body.ReadFrom(io.LimitReader(r.Body, int64(bound)))
	if err == nil && body.Len() == bound {
		if n, _ := io.CopyN(io.Discard, r.Body, maxDrain); n > 0 {
			err = fmt.Errorf("it is longer than %d bytes", bound)
		}
	}
	return body.Bytes(), err
}
