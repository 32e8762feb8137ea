package nginx

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// upstream is the gateway as nginx sees it: a process that can die and come
// back at the same address. What it has applied survives.
type upstream struct {
	address string
	gateway http.Handler
	t       *testing.T

	mu     sync.Mutex
	server *http.Server
	strike func(http.ResponseWriter, *http.Request) // the next POST, if not nil
	busy   sync.WaitGroup
}

// upstreams counts them. Each has an IP address of its own, so that nobody else
// comes to listen where one has died that is to come back.
var upstreams atomic.Uint32

// startUpstream serves the gateway until the test ends.
func startUpstream(t *testing.T, gateway http.Handler) *upstream {
	t.Helper()
	n := upstreams.Add(1)
	u := &upstream{gateway: gateway, t: t, address: fmt.Sprintf("127.1.%d.%d:0", n>>8, n&0xff)}
	require.NoError(t, u.start())
	t.Cleanup(func() { u.settle(); u.kill() })
	return u
}

func (u *upstream) start() error {
	l, err := net.Listen("tcp", u.address)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: u}
	u.mu.Lock()
	u.address, u.server = l.Addr().String(), s
	u.mu.Unlock()
	go func() { _ = s.Serve(l) }() // until it is killed
	return nil
}

// kill drops all connections and stops listening, as the end of a process does.
func (u *upstream) kill() {
	u.mu.Lock()
	defer u.mu.Unlock()
	_ = u.server.Close() // nothing depends on how it ends
}

// never is when something comes that does not come.
const never time.Duration = -1

// die kills the upstream, and brings it back after a while.
func (u *upstream) die(down time.Duration) {
	u.kill()
	if down == never {
		return
	}
	u.busy.Add(1)
	time.AfterFunc(down, func() {
		defer u.busy.Done()
		for deadline := time.Now().Add(patience); u.start() != nil; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				u.t.Error("the upstream cannot come back at its address")
				return
			}
		}
	})
}

// settle waits until all that is under way has been done.
func (u *upstream) settle() { u.busy.Wait() }

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.busy.Add(1)
	defer u.busy.Done()
	if r.Method == http.MethodPost {
		u.mu.Lock()
		strike := u.strike
		u.strike = nil
		u.mu.Unlock()
		if strike != nil {
			strike(w, r)
			return
		}
	}
	u.gateway.ServeHTTP(w, r)
}

// apply lets the gateway have the request, and nobody its answer.
func (u *upstream) apply(r *http.Request) {
	u.gateway.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
}

// The faults of an upstream. Each strikes the next POST.

// dieBefore dies before the gateway has applied the request.
func (u *upstream) dieBefore(down time.Duration) {
	u.onNext(func(http.ResponseWriter, *http.Request) { u.die(down) })
}

// dieAfter dies when the gateway has applied the request.
func (u *upstream) dieAfter(down time.Duration) {
	u.onNext(func(_ http.ResponseWriter, r *http.Request) { u.apply(r); u.die(down) })
}

// dieAnswering dies in the middle of the answer.
func (u *upstream) dieAnswering(down time.Duration) {
	u.onNext(func(w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		u.gateway.ServeHTTP(whole, r)
		for name, values := range whole.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		u.die(down)
	})
}

// hang holds the request until nginx has lost its patience. After that, and as
// long as given, the gateway gets it all the same.
func (u *upstream) hang(late time.Duration) {
	u.onNext(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			u.t.Errorf("reading a request: %v", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		<-r.Context().Done()
		if late != never {
			time.Sleep(late)
			u.apply(r)
		}
	})
}

func (u *upstream) onNext(strike func(http.ResponseWriter, *http.Request)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.strike = strike
}
