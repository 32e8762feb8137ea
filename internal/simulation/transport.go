package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing/iotest"
	"time"
)

// transport takes the requests of one process to the gateway, through whatever
// is between them.
type transport struct {
	world   *world
	process int
}

// sent is a request that was made.
type sent struct {
	*running
	number  int // among those of the world
	n       int // among those of the call, in the order of their beginning
	nth     int // among those of its kind and target
	kind    string
	write   bool
	target  string   // what a read is about; of a write the first API
	apis    []string // of a write, in lower case
	version string   // to switch to
	fate    fate
	start   time.Time
	end     time.Time // when the client had its answer, or had left

	reached   bool      // there was a connection
	delivered time.Time // when it reached the gateway, if it did
	status    int       // that the client has seen
	err       error
	whole     bool // the answer the client has seen is the gateway's own, or decisive

	left chan struct{} // closed when the client has its answer or has left
	how  error         // why it has left; nil: it was answered
	back chan *answer  // what comes back from the gateway
}

// doubtful reports whether the client cannot know from this request alone what
// became of the API.
func (s *sent) doubtful(api string) bool {
	if !s.write || !s.reached {
		return false
	}
	return !s.whole || s.fate.items[api].doubtful()
}

// RoundTrip implements http.RoundTripper. It reports its progress to an
// httptrace as net/http does.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	s := t.world.begin(ctx, t.process, r, body)
	defer t.world.finish(s)
	resp, err := t.travel(ctx, s, r, body)
	s.err = err
	if resp != nil {
		s.status = resp.StatusCode
	}
	return resp, err
}

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	errPipe    = &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	errClosed  = errors.New("http: server closed idle connection")
)

// travel takes one request there and back.
func (t *transport) travel(ctx context.Context, s *sent, r *http.Request, body []byte) (*http.Response, error) {
	f := &s.fate
	trace := httptrace.ContextClientTrace(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ // so that it has all functions
		GetConn: func(string) {}, GotConn: func(httptrace.GotConnInfo) {}, WroteHeaders: func() {}, WroteRequest: func(httptrace.WroteRequestInfo) {},
	}))
	trace.GetConn(r.URL.Host)
	if f.end == endDialing {
		<-ctx.Done()
		return nil, s.leave(ctx.Err())
	}
	if !pause(ctx.Done(), f.dial) {
		return nil, s.leave(ctx.Err())
	}
	if f.end == endRefused {
		s.leave(nil)
		return nil, errRefused
	}
	s.reached = true
	t.world.mu.Lock()
	t.world.writing[s] = true
	t.world.mu.Unlock()
	trace.GotConn(httptrace.GotConnInfo{Reused: s.nth > 0})
	unsent := f.end == endUnsent // from here on the fate is that of the delivery
	t.world.loose.Go(func() { t.deliver(s, r, body) })
	if !pause(ctx.Done(), f.write) {
		return nil, s.leave(ctx.Err())
	}
	if unsent {
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: errPipe})
		s.leave(nil)
		return nil, errPipe
	}
	trace.WroteHeaders()
	trace.WroteRequest(httptrace.WroteRequestInfo{})
	select {
	case <-ctx.Done():
		return nil, s.leave(ctx.Err())
	case a := <-s.back:
		if a == nil {
			s.leave(nil)
			if f.kind == "closed" {
				return nil, errClosed
			}
			return nil, errReset
		}
		return t.response(ctx, s, r, a), nil
	}
}

// leave has the client leave, with what it has got or because of an error.
func (s *sent) leave(how error) error {
	s.how = how
	close(s.left)
	return how
}

// deliver takes the request to the gateway, and its answer back, whether or not
// the client is still there.
func (t *transport) deliver(s *sent, r *http.Request, body []byte) {
	f := &s.fate
	if f.end == endUnsent {
		return
	}
	own := f.end == endAnswer || f.end == endCut || f.end == endStall // the gateway's answer
	var a *answer
	waited := pause(s.left, f.write+f.up)
	if own || f.applies == first {
		if !waited {
			if time.Since(s.start) < f.dial+f.write && f.late > 0.5 {
				return // the client left before it was written, and so it never was
			}
			// The client has left. What is still in progress arrives within the
			// documented time.
			remaining := f.dial + f.write + f.up - time.Since(s.start)
			time.Sleep(min(remaining, t.lateness(s)))
		}
		if t.world.conflict(s); !f.conflict || f.applies == first {
			a = t.world.serve(s, r, body)
		}
	}
	if f.end != endHang && pause(s.left, f.down) {
		switch {
		case f.end == endStatus:
			a = f.answer(t.world)
		case f.end == endReset:
			a = nil
		case f.edit != nil:
			f.edit(a)
		}
		s.back <- a
	}
	if f.applies == late {
		<-s.left
		time.Sleep(t.lateness(s))
		t.world.serve(s, r, body)
	}
}

// lateness is how long after its client has seen the failure a lost request is
// applied, so that it shows within SettleWait, or twice that after a timeout.
func (t *transport) lateness(s *sent) time.Duration {
	limit := t.world.settleWait(t.process)
	timedOut := errors.Is(s.how, context.DeadlineExceeded)
	if timedOut || s.how == nil && s.fate.twice {
		limit *= 2
	}
	return time.Duration(s.fate.late * float64(limit-t.world.lag))
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if !pause(ctx.Done(), d) {
		return ctx.Err()
	}
	return nil
}

// pause waits for d and reports true, or false if c is closed before.
func pause(c <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c:
		return false
	}
}

// answer is the one that stands in the fate.
func (f *fate) answer(w *world) *answer {
	body := f.body
	switch {
	case f.code != "":
		body = fmt.Sprintf(`{"error_code":%q,"error_msg":"It failed."}`, f.code)
	case body == "" && f.status >= 300:
		body = "<html><body><h1>" + http.StatusText(f.status) + "</h1></body></html>"
	}
	date := time.Now().Add(w.clock + w.skew).UTC().Format(http.TimeFormat)
	a := &answer{f.status, http.Header{"Date": {date}}, []byte(body)}
	a.header.Set("Content-Length", strconv.Itoa(len(body)))
	for name, value := range f.header {
		a.header.Set(name, value)
	}
	return a
}

// response is what the client gets to see of an answer, whose body comes as the
// fate will have it.
func (t *transport) response(ctx context.Context, s *sent, r *http.Request, a *answer) *http.Response {
	f := &s.fate
	s.whole = f.end == endAnswer || f.decisive
	body := &stream{ctx: ctx, sent: s, rest: bytes.NewReader(a.body), stall: f.end == endStall}
	if f.end == endCut {
		body.rest = io.MultiReader(bytes.NewReader(a.body[:int(f.cut*float64(len(a.body)))]), iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	if f.short {
		body.rest = io.MultiReader(body.rest, iotest.ErrReader(io.ErrUnexpectedEOF))
		a.header.Del("Content-Length")
	}
	length := int64(-1)
	if n, err := strconv.ParseInt(a.header.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	if a.status == http.StatusNoContent {
		length, body.rest, body.stall = 0, http.NoBody, false
	}
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: body, ContentLength: length, Request: r,
	}
}

// stream is the body of an answer. The client has the answer when it has read
// it, or has given it up.
type stream struct {
	ctx   context.Context
	sent  *sent
	rest  io.Reader
	stall bool
	done  bool
}

func (b *stream) Read(p []byte) (n int, err error) {
	if b.stall {
		<-b.ctx.Done()
	}
	if err = b.ctx.Err(); err == nil {
		n, err = b.rest.Read(p)
	}
	if err != nil {
		b.finish(err)
	}
	return n, err
}

func (b *stream) finish(err error) {
	if b.done {
		return
	}
	b.done = true
	if err != io.EOF {
		b.sent.whole = b.sent.fate.decisive
	}
	b.sent.end = time.Now()
	b.sent.leave(b.ctx.Err())
}

func (b *stream) Close() error {
	b.finish(io.EOF)
	return nil
}

const idLength = 32

var ids = regexp.MustCompile("[0-9A-Fa-f]{32}")

// lowerIDs writes IDs in lower case.
func lowerIDs(s string) string { return ids.ReplaceAllStringFunc(s, strings.ToLower) }
