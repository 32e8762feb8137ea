package real

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// TestStaleConnection publishes at the moment when nginx closes the idle connection,
// until one publish has met the end of its connection. It proves that the client finds
// out what became of a request that a real server may or may not have read.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	f := startFront(t, nginx, http1, directives{Front: "keepalive_timeout 1s;"})
	var struck atomic.Int32
	f.publishAll(8, &struck, func(try int) bool {
		if try == 60 || struck.Load() > 0 {
			return false
		}
		// The answer has taken a moment to arrive, so somewhat less than the timeout.
		time.Sleep(time.Second - time.Millisecond + rand.N(2*time.Millisecond))
		return true
	})
	require.NotZero(t, struck.Load(), "no publish has met the end of its connection")
}

// TestReload reloads nginx again and again while clients publish. It proves that every
// report is true although the old worker closes its connections at any moment.
func TestReload(t *testing.T) {
	throughEach(t, []kind{nginx}, func(t *testing.T, k kind, proto protocol) {
		const reloads = 15
		f := startFront(t, k, proto, directives{})
		var done atomic.Bool
		var struck atomic.Int32
		var publishing sync.WaitGroup
		publishing.Go(func() { f.publishAll(4, &struck, func(int) bool { return !done.Load() }) })
		defer publishing.Wait()
		defer done.Store(true)
		ended := func() int { return strings.Count(f.read("error.log"), "exited with code 0") }
		for range reloads {
			before := ended()
			require.NoError(t, f.process.Process.Signal(syscall.SIGHUP))
			await(t, "the end of the old worker", func() bool { return ended() > before })
		}
		done.Store(true)
		publishing.Wait()
		connections := map[string]bool{}
		for line := range strings.Lines(f.read("access.log")) {
			connections[line[strings.LastIndexByte(line, ' '):]] = true
		}
		assert.Greater(t, len(connections), reloads)
		t.Logf("%d connections, %d publishes met the end of theirs", len(connections), struck.Load())
	})
}

// publishAll publishes in several lanes, each with connections of its own, as long as
// more says so after each try, and compares all reports with the journal. It counts the
// publishes that met the end of a kept connection.
func (f *front) publishAll(lanes int, struck *atomic.Int32, more func(try int) bool) {
	var mu sync.Mutex
	records := map[string]*apig.PublishRecord{} // by API: ten versions of one would hide a lost publication
	var running sync.WaitGroup
	for lane := range lanes {
		client := f.client(func(cfg *apig.Config) {
			cfg.HTTPClient.Transport = &witness{cfg.HTTPClient.Transport, struck}
		})
		running.Go(func() {
			for try := 1; ; try++ {
				apiID := f.gateway.AddAPI(fmt.Sprint("lane", lane))
				rec, err := publish(client, apiID, "1.4.2")
				if !assert.NoError(f.t, err) {
					return
				}
				mu.Lock()
				records[apiID] = rec
				mu.Unlock()
				if !more(try) {
					return
				}
			}
		})
	}
	running.Wait()
	applied := map[string][]gateway.Applied{}
	for _, a := range f.gateway.Journal() {
		applied[a.APIID] = append(applied[a.APIID], a)
	}
	assert.Len(f.t, applied, len(records))
	for apiID, rec := range records {
		judge(f.t, applied[apiID], rec, nil)
	}
}

// witness counts the publishes that failed on a connection that was used before.
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
