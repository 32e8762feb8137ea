package nginx

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/judge"
)

// TestStaleConnection sends each publish at the moment when nginx closes the
// connection for having idled too long, until one has met its end: nobody can
// tell then whether it was read.
func TestStaleConnection(t *testing.T) {
	const (
		idle  = time.Second // keepalive_timeout
		lanes = 8
		tries = 60
	)
	s := set(t, http1, "keepalive_timeout 1s;")
	var struck atomic.Int32
	s.publishAll(lanes, &struck, func(try int) bool {
		if try == tries || struck.Load() > 0 {
			return false
		}
		// The answer has taken a moment to arrive, so somewhat less than idle.
		time.Sleep(idle - time.Millisecond + rand.N(2*time.Millisecond))
		return true
	})
	require.NotZero(t, struck.Load(), "no publish has met the end of its connection")
	t.Logf("%d publishes met the end of their connection", struck.Load())
}

// TestReload reloads nginx again and again while clients publish: it lets go of
// connections at any moment.
func TestReload(t *testing.T) {
	for _, proto := range protocols {
		t.Run(string(proto), func(t *testing.T) {
			t.Parallel()
			const lanes, reloads = 4, 15
			s := set(t, proto, "")
			var done atomic.Bool
			var struck atomic.Int32
			var publishing sync.WaitGroup
			publishing.Add(1)
			go func() {
				defer publishing.Done()
				s.publishAll(lanes, &struck, func(int) bool { return !done.Load() })
			}()
			finish := func() { done.Store(true); publishing.Wait() }
			defer finish() // also when a reload fails
			for range reloads {
				s.reload()
			}
			finish()

			conns := map[string]bool{}
			for _, l := range s.lines() {
				conns[l.conn] = true
			}
			assert.Greater(t, len(conns), reloads, "connections")
			t.Logf("%d connections, %d publishes met the end of theirs", len(conns), struck.Load())
		})
	}
}

// publishAll publishes in several lanes, each an API and a connection of its
// own, as long as more says so after each try, and judges every report by the
// journal. It counts the publishes that met the end of a kept connection.
func (s *stage) publishAll(lanes int, struck *atomic.Int32, more func(try int) bool) {
	var mu sync.Mutex
	reports := map[apig.ActionRequest]judge.Report{} // the remark says which try it is
	var running sync.WaitGroup
	for lane := range lanes {
		req := apig.ActionRequest{APIID: s.gateway.AddAPI(fmt.Sprint("lane", lane)), EnvID: apig.EnvRelease}
		client := s.client(func(cfg *apig.Config) {
			cfg.HTTPClient.Transport = &witness{cfg.HTTPClient.Transport, struck}
		})
		running.Go(func() {
			for try := 1; ; try++ {
				req.Remark = fmt.Sprint(try)
				rec, err := client.Publish(context.Background(), req)
				mu.Lock()
				reports[req] = judge.NewReport(true, req, rec, err)
				mu.Unlock()
				if !assert.NoError(s.t, err) || !more(try) {
					return
				}
			}
		})
	}
	running.Wait()
	verdicts, strays := judge.All(reports, s.gateway.Journal(), func(a apigtest.Applied) apig.ActionRequest {
		return apig.ActionRequest{APIID: a.APIID, EnvID: a.EnvID, Remark: a.Remark}
	})
	assert.Empty(s.t, strays, "applied, not reported")
	for req, verdict := range verdicts {
		assert.False(s.t, verdict.Bad(), "%v: %+v: %+v", verdict, req, reports[req])
	}
}

// witness is a transport that counts the publishes that failed on a connection
// which had been used before.
type witness struct {
	http.RoundTripper
	struck *atomic.Int32
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	var reused bool
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { reused = got.Reused }}
	resp, err := w.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil && reused && r.Method == http.MethodPost {
		w.struck.Add(1)
	}
	return resp, err
}
