package apigtest_test

import (
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

func TestConcurrentWritersAreSerialized(t *testing.T) {
	f := start(t)
	apis := []string{f.api, f.AddAPI("customers")}
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		var requests []string
		for n := range each {
			requests = append(requests, fmt.Sprintf("%d/%d", w, n))
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for _, remark := range requests {
				r := f.action("online", apis[w%2], release, remark)
				res, err := f.send(r)
				if assert.NoError(t, err) {
					assert.Equal(t, 201, res.status)
				}
				_, _ = f.Publish(apis[w%2], release, "by hand")
				_ = f.Requests()
				_ = f.Journal()
				_, _ = f.Published(apis[w%2], release)
			}
		}()
	}
	wg.Wait()

	journal := f.Journal()
	require.Len(t, journal, 2*writers*each)
	last := map[string]apigtest.Applied{}
	next := map[int]int{}
	for n, a := range journal {
		assert.Equal(t, n+1, a.Seq)
		assert.False(t, n > 0 && a.Time.Before(journal[n-1].Time), "journal out of order")
		last[a.APIID] = a
		if a.Request == nil {
			continue
		}
		var writer, index int
		_, err := fmt.Sscanf(a.Remark, "%d/%d", &writer, &index)
		require.NoError(t, err)
		assert.Equal(t, next[writer], index, "one writer's requests are applied in its order")
		next[writer]++
	}
	for _, api := range apis {
		v, ok := f.Published(api, release)
		require.True(t, ok)
		assert.Equal(t, last[api].VersionID, v.ID, "the last one applied is in effect")
		assert.Len(t, f.History(api, release), 10)
	}
	seen := map[int]bool{}
	for n, r := range f.Requests() {
		assert.Equal(t, n+1, r.Seq)
		assert.False(t, seen[r.Seq])
		seen[r.Seq] = true
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, opts := range [][]apigtest.Option{nil, {apigtest.WithTLS()}} {
		f := start(t, opts...)
		f.Inject(apigtest.Hang().Times(3), apigtest.CloseThenApply(time.Hour).Times(3), apigtest.Slow(time.Hour).Times(3))
		var wg sync.WaitGroup
		for range 12 {
			r := f.action("online", f.api, release, "")
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, _ = f.send(r) // whatever it comes to
			}()
		}
		eventually(t, "all struck", func() bool { return f.Struck() == 9 && len(f.Requests()) == 12 })
		f.Close()
		wg.Wait()
		assert.Zero(t, f.Connections())
		f.Close() // once more does no harm
		f.client.CloseIdleConnections()
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("goroutines left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func TestCloseWaitsForLateApplications(t *testing.T) {
	f := start(t)
	closed := make(chan struct{})
	early := make(chan bool, 1)
	f.ValidateTokens(func(string) bool {
		select {
		case <-closed:
			early <- true
		case <-time.After(50 * time.Millisecond):
			early <- false
		}
		return true
	})
	f.Inject(apigtest.CloseThenApply(time.Hour))
	f.broken(t)
	f.Close()
	close(closed)
	assert.False(t, <-early, "Close returned before the application had ended")
	assert.Len(t, f.Journal(), 1)
}

func TestCloseClosesIdleConnections(t *testing.T) {
	f := start(t)
	const many = 50
	for range many {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL(), "http://"))
		require.NoError(t, err)
		defer conn.Close()
	}
	eventually(t, "accepted", func() bool { return f.Accepted() == many })
	assert.Equal(t, many, f.Connections())
	f.Close()
	assert.Zero(t, f.Connections())
}

func TestAClosedGatewayCanStillBeRead(t *testing.T) {
	f := start(t)
	f.publish("kept")
	f.Close()
	_, err := f.send(f.action("online", f.api, release, ""))
	require.Error(t, err)
	v, ok := f.Published(f.api, release)
	assert.True(t, ok)
	assert.Equal(t, "kept", v.Remark)
	assert.Len(t, f.Requests(), 1)
	assert.Len(t, f.Journal(), 1)
}

func BenchmarkPublish(b *testing.B) {
	f := start(b)
	b.ReportAllocs()
	for range b.N {
		if res, err := f.send(f.action("online", f.api, release, "")); err != nil || res.status != 201 {
			b.Fatal(res.status, err)
		}
	}
}

// BenchmarkHandler has no connection at all, as a simulation that sends
// millions of requests.
func BenchmarkHandler(b *testing.B) {
	for name, many := range map[string]int{"publish": 1, "history": 1, "group of 500": 500} {
		b.Run(name, func(b *testing.B) {
			f := start(b, apigtest.WithoutRequestLog())
			group := f.AddGroup("shop")
			for range many {
				f.AddAPIIn(group, "a")
			}
			_, _ = f.Publish(f.api, release, "")
			handler := f.Handler()
			b.ReportAllocs()
			for b.Loop() {
				r := f.request("GET", "/apis/publish/"+f.api+"?env_id="+release+"&limit=500", "")
				switch name {
				case "publish":
					r = f.action("online", f.api, release, "")
				case "group of 500":
					r = f.request("GET", "/apis?limit=500&group_id="+group, "")
				}
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, r); w.Code > 201 {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
