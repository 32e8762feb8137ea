package toxiproxy

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// trip is one request as the client's transport has seen it.
type trip struct {
	method string
	conn   bool  // whether it had a connection: if not, nothing was sent
	status int   // of the answer, if one came
	err    error // of the request, or of reading the body of the answer
	took   time.Duration
}

// witness is a transport that takes down every trip.
type witness struct {
	transport *http.Transport

	mu    sync.Mutex
	trips []trip
	heal  func() // called once, when the first trip has failed
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	seen := trip{method: r.Method}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { seen.conn = true }}
	resp, err := w.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil {
		seen.err, seen.took = err, time.Since(start)
		w.add(seen)
		return nil, err
	}
	seen.status = resp.StatusCode
	resp.Body = &witnessed{ReadCloser: resp.Body, end: func(err error) {
		seen.err, seen.took = err, time.Since(start)
		w.add(seen)
	}}
	return resp, nil
}

func (w *witness) add(seen trip) {
	w.mu.Lock()
	w.trips = append(w.trips, seen)
	var heal func()
	if seen.err != nil {
		heal, w.heal = w.heal, nil
	}
	w.mu.Unlock()
	if heal != nil {
		heal()
	}
}

// begin forgets the trips so far, and will call heal when one has failed.
func (w *witness) begin(heal func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trips, w.heal = nil, heal
}

// posts is the trips since begin that were to change something.
func (w *witness) posts() []trip {
	w.mu.Lock()
	defer w.mu.Unlock()
	var posts []trip
	for _, t := range w.trips {
		if t.method == http.MethodPost {
			posts = append(posts, t)
		}
	}
	return posts
}

// witnessed is the body of an answer. Its end is when it has been read, or
// closed before.
type witnessed struct {
	io.ReadCloser
	end func(error) // nil once called
}

func (b *witnessed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended(nil)
	} else if err != nil {
		b.ended(err)
	}
	return n, err
}

func (b *witnessed) Close() error {
	b.ended(nil)
	return b.ReadCloser.Close()
}

func (b *witnessed) ended(err error) {
	if b.end != nil {
		b.end(err)
		b.end = nil
	}
}

// CloseIdleConnections is found by http.Client.
func (w *witness) CloseIdleConnections() { w.transport.CloseIdleConnections() }
