package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// callHeader ties a request to the call that made it.
const callHeader = "X-Call-Id"

type callKey struct{}

// withCall names the call that all requests of ctx belong to.
func withCall(ctx context.Context, id int) context.Context {
	return context.WithValue(ctx, callKey{}, id)
}

// wire is a transport that puts its call's ID on every request. It remembers,
// by call, the connections on which a change got no whole answer, and whether
// its time was up then, be it the caller's or that of the attempt. A request that
// was still waiting for its connection cannot have been sent; one that ended
// before it could even ask for one proves nothing to its client.
type wire struct {
	*http.Transport

	mu     sync.Mutex
	broken map[int][]string // the client's addresses
	late   map[int]bool
}

func newWire() *wire {
	return &wire{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}, broken: map[int][]string{}, late: map[int]bool{}}
}

// seen is what the wire has seen of a call, for another process to know.
func (w *wire) seen(call int) (broken []string, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken[call], w.late[call]
}

// saw is what the wire of another process has seen.
func (w *wire) saw(call int, broken []string, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(broken) > 0 {
		w.broken[call], w.late[call] = broken, late
	}
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	id, ok := r.Context().Value(callKey{}).(int)
	if !ok {
		return w.Transport.RoundTrip(r)
	}
	var conn atomic.Value // the client's address; empty while waiting for one
	conn.Store("none")
	r = r.Clone(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { conn.Store("") },
		GotConn: func(i httptrace.GotConnInfo) { conn.Store(i.Conn.LocalAddr().String()) },
	}))
	r.Header.Set(callHeader, strconv.Itoa(id))
	broke := func() {
		if addr := conn.Load().(string); addr != "" && r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/apis/") {
			w.mu.Lock()
			w.broken[id] = append(w.broken[id], addr)
			w.late[id] = w.late[id] || r.Context().Err() != nil
			w.mu.Unlock()
		}
	}
	resp, err := w.Transport.RoundTrip(r)
	if err != nil {
		broke()
		return nil, err
	}
	resp.Body = &body{resp.Body, r.Context(), broke}
	return resp, nil
}

// body is that of an answer. It tells if it breaks off, or comes to its end only
// when the time is up: nobody may wait for it any more then.
type body struct {
	io.ReadCloser
	ctx   context.Context
	broke func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && (err != io.EOF || b.ctx.Err() != nil) {
		b.broke()
	}
	return n, err
}
