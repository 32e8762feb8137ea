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
// own, as long as more says so after each try, and holds every report against
// the journal. It counts the publishes that met the end of a kept connection.
func (s *stage) publishAll(lanes int, struck *atomic.Int32, more func(try int) bool) {
	versions := make([]map[string]bool, lanes) // reported, by lane
	apis := make([]string, lanes)
	var running sync.WaitGroup
	for lane := range lanes {
		apis[lane] = s.gateway.AddAPI(fmt.Sprint("lane", lane))
		versions[lane] = map[string]bool{}
		client := s.client(func(cfg *apig.Config) {
			cfg.HTTPClient.Transport = &witness{cfg.HTTPClient.Transport, struck}
		})
		running.Add(1)
		go func() {
			defer running.Done()
			for try := 1; ; try++ {
				rec, err := client.Publish(context.Background(),
					apig.ActionRequest{APIID: apis[lane], EnvID: apig.EnvRelease, Remark: fmt.Sprint(try)})
				if !assert.NoError(s.t, err) {
					return
				}
				versions[lane][rec.VersionID] = true
				if !more(try) {
					return
				}
			}
		}()
	}
	running.Wait()
	for _, made := range s.gateway.Journal() {
		for lane, id := range apis {
			if id == made.APIID {
				assert.True(s.t, versions[lane][made.VersionID], "applied, not reported: %v", made)
				delete(versions[lane], made.VersionID)
			}
		}
	}
	for _, reported := range versions {
		assert.Empty(s.t, reported, "reported, not applied")
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
