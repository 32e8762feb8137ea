package real

import (
	"context"
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

// TestStaleConnection sends each publish at the moment when nginx closes the idle
// connection, until one publish has met its end: whether nginx has read it cannot be
// seen from here.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	const idle = time.Second
	f := startFront(t, kinds[0], http1, directives{Front: "keepalive_timeout 1s;"})
	var struck atomic.Int32
	f.publishAll(8, &struck, func(try int) bool {
		if try == 60 || struck.Load() > 0 {
			return false
		}
		// The answer has taken a moment to arrive, so somewhat less than idle.
		time.Sleep(idle - time.Millisecond + rand.N(2*time.Millisecond))
		return true
	})
	require.NotZero(t, struck.Load(), "no publish has met the end of its connection")
}

// TestReload reloads nginx again and again while clients publish. The old worker
// closes its connections at any moment.
func TestReload(t *testing.T) {
	eachProtocol(t, kinds[0], func(t *testing.T, start func(directives) *front) {
		const reloads = 15
		f := start(directives{})
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

// publishAll publishes in several lanes, each with connections of its own,
// as long as more says so after each try, and compares all reports with the journal.
// It counts the publishes that met the end of a kept connection.
func (f *front) publishAll(lanes int, struck *atomic.Int32, more func(try int) bool) {
	type call struct{ apiID, remark string }
	var mu sync.Mutex
	records := map[call]*apig.PublishRecord{}
	var running sync.WaitGroup
	for lane := range lanes {
		client := f.client(func(cfg *apig.Config) {
			cfg.HTTPClient.Transport = &witness{cfg.HTTPClient.Transport, struck}
		})
		running.Go(func() {
			for try := 1; ; try++ {
				// An API each: ten versions of one within five seconds would leave a
				// lost publication unknown.
				apiID, remark := f.gateway.AddAPI(fmt.Sprint("lane", lane)), fmt.Sprintf("try %d.", try)
				rec, err := publish.make(context.Background(), client, apiID, remark)
				if !assert.NoError(f.t, err) {
					return
				}
				mu.Lock()
				records[call{apiID, remark}] = rec
				mu.Unlock()
				if !more(try) {
					return
				}
			}
		})
	}
	running.Wait()
	applied := map[call][]gateway.Applied{}
	for _, a := range f.gateway.Journal() {
		remark, _, _ := strings.Cut(a.Remark, ".") // a tag may follow
		c := call{a.APIID, remark + "."}
		applied[c] = append(applied[c], a)
	}
	assert.Len(f.t, applied, len(records))
	for c, rec := range records {
		judge(f.t, publish, applied[c], rec, nil)
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
